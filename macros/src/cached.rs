//! `#[cached]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, LitStr, Result};

use crate::{arguments::CachedArguments, function::Function, template};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: CachedArguments = syn::parse2(arguments)?;
    let function = Function::parse(item, "cached")?;
    let keep = function.keep(arguments.keep.as_ref())?;
    let key = key(&arguments, &function, &keep)?;
    let tags = arguments.tags.iter().map(|tag| {
        let tag = template::key(tag, &function)?;
        Ok(quote!(.tag(#tag.as_str())))
    });
    let tags: TokenStream = tags.collect::<Result<_>>()?;
    let condition = arguments
        .condition
        .iter()
        .map(|given| quote!(.condition(#given)));
    let (setters, output, block) = (&arguments.setters, function.output(), &function.item.block);
    let call = match function.returns_result() {
        true => quote!(cached_result),
        false => quote!(cached_value),
    };
    let body = quote! {
        let __entry = ::tower_keep::Keep::entry(&#keep, #key) #setters #tags #(#condition)*;
        ::tower_keep::keep::attribute_support::#call::<#output, _, _>(__entry, async move #block)
            .await
    };
    function.with_body(body)
}

fn key(arguments: &CachedArguments, function: &Function, keep: &Expr) -> Result<TokenStream> {
    match (&arguments.key, &arguments.prefix) {
        (Some(key), None) => template::key(key, function),
        (None, Some(prefix)) => hashed(prefix, function, keep),
        (Some(_), Some(prefix)) => {
            let message = "a key has no prefix of its own; write either `key` or `prefix`";
            Err(Error::new_spanned(prefix, message))
        }
        (None, None) => {
            let message = "#[cached] needs a key; write `key = \"entity:{id}\"`, or `prefix = \"entity\"` to hash all arguments";
            Err(Error::new_spanned(&function.item.sig.ident, message))
        }
    }
}

/// The prefix, and a hash of all arguments.
fn hashed(prefix: &LitStr, function: &Function, keep: &Expr) -> Result<TokenStream> {
    let prefix = template::key(prefix, function)?;
    let names = function.hashed_arguments(keep)?;
    Ok(quote!(#prefix.hash(&(#(&#names,)*))))
}
