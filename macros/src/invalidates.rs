//! `#[invalidates]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Ident, LitStr, Result, Token,
    parse::{Parse, ParseStream},
};

use crate::{function::Function, template};

/// The arguments of `#[invalidates(…)]`.
#[derive(Default)]
struct InvalidatesArguments {
    templates: Vec<LitStr>,
    keep: Option<LitStr>,
}

impl Parse for InvalidatesArguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            if input.peek(LitStr) {
                arguments.templates.push(input.parse()?);
            } else {
                let name: Ident = input.parse()?;
                if name != "keep" {
                    let message = format!(
                        "unknown name `{name}`; write keys and patterns in quotes, as \"engagement:{{id}}\", or `keep`"
                    );
                    return Err(Error::new_spanned(name, message));
                }
                input.parse::<Token![=]>()?;
                arguments.keep = Some(input.parse()?);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: InvalidatesArguments = syn::parse2(arguments)?;
    let function = Function::parse(item, "invalidates")?;
    if arguments.templates.is_empty() {
        let message = "#[invalidates] names nothing; write keys and patterns, as #[invalidates(\"engagement:{id}\", \"engagement:{id}:*\")]";
        return Err(Error::new_spanned(&function.item.sig.ident, message));
    }
    let keep = function.keep(arguments.keep.as_ref())?;
    let templates = arguments.templates.iter();
    let changes: Vec<_> = templates
        .map(|template| template::invalidation(template, &function))
        .collect::<Result<_>>()?;
    let (output, block) = (function.output(), &function.item.block);
    let call = match function.returns_result() {
        true => quote!(written_result),
        false => quote!(written_value),
    };
    let body = quote! {
        let (__keep, __changes) = (::tower_keep::Keep::clone(&#keep), [#(#changes),*]);
        ::tower_keep::keep::attribute_support::#call::<#output, _, _>(
            __keep,
            __changes,
            async move #block,
        )
        .await
    };
    function.with_body(body)
}
