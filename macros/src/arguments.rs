//! The arguments of `#[cached]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Expr, ExprLit, Ident, Lit, LitBool, LitStr, Result, Token, bracketed,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::duration;

/// The arguments of `#[cached(…)]`.
#[derive(Default)]
pub(crate) struct CachedArguments {
    pub(crate) key: Option<LitStr>,
    pub(crate) prefix: Option<LitStr>,
    pub(crate) keep: Option<LitStr>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) condition: Option<Expr>,
    /// The calls of `ValueEntry`'s setters.
    pub(crate) setters: TokenStream,
}

const NAMES: &str = "`key`, `prefix`, `ttl`, `refresh_ahead`, `early_refresh`, `stale_while_revalidate`, `stale_if_error`, `cache_none`, `tags`, `condition`, `keep`";

impl Parse for CachedArguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        let mut names = Vec::<Ident>::new();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            if names.contains(&name) {
                return Err(Error::new_spanned(
                    &name,
                    format!("`{name}` is written twice"),
                ));
            }
            input.parse::<Token![=]>()?;
            arguments.set(&name, input)?;
            names.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl CachedArguments {
    fn set(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        match name.to_string().as_str() {
            "key" => self.key = Some(input.parse()?),
            "prefix" => self.prefix = Some(input.parse()?),
            "keep" => self.keep = Some(input.parse()?),
            "condition" => self.condition = Some(condition(input)?),
            "tags" => {
                let list;
                bracketed!(list in input);
                let tags = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
                self.tags = tags.into_iter().collect();
            }
            "early_refresh" => {
                let yes: LitBool = input.parse()?;
                self.setters.extend(quote!(.early_refresh(#yes)));
            }
            "ttl"
            | "refresh_ahead"
            | "stale_while_revalidate"
            | "stale_if_error"
            | "cache_none" => {
                let time = duration::parse(&input.parse()?)?;
                let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
                let time = quote!(::core::time::Duration::new(#seconds, #nanos));
                self.setters.extend(quote!(.#name(#time)));
            }
            _ => {
                let message = format!("unknown name `{name}`; write one of {NAMES}");
                return Err(Error::new_spanned(name, message));
            }
        }
        Ok(())
    }
}

/// A condition is an expression, or one in quotes.
fn condition(input: ParseStream<'_>) -> Result<Expr> {
    match input.parse()? {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => text.parse().map_err(|_| {
            let message = "not an expression; write `condition = \"|value: &T| …\"`";
            Error::new_spanned(&text, message)
        }),
        expression => Ok(expression),
    }
}
