//! The function that an attribute stands on.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Error, Expr, FnArg, Ident, ImplItemFn, LitStr, Pat, Result, ReturnType, Type, parse_quote,
    spanned::Spanned,
};

/// A function or method, and what its attribute needs to know of it.
pub(crate) struct Function {
    pub(crate) item: ImplItemFn,
    /// The name of the attribute, for errors.
    attribute: &'static str,
}

impl Function {
    pub(crate) fn parse(item: TokenStream, attribute: &'static str) -> Result<Self> {
        let wrong = |error: Error| {
            let message = format!("#[{attribute}] stands on an async function with a body");
            Error::new(error.span(), message)
        };
        let item: ImplItemFn = syn::parse2(item).map_err(wrong)?;
        if item.sig.asyncness.is_none() {
            let message = format!("#[{attribute}] needs an async function; write `async fn`");
            return Err(Error::new(item.sig.fn_token.span(), message));
        }
        Ok(Self { item, attribute })
    }

    /// The expression of an argument or of a field of one, as it is written between braces.
    pub(crate) fn argument(&self, text: &str, template: &LitStr) -> Result<Expr> {
        let error = |message| Error::new_spanned(template, message);
        let first = text.split('.').next().unwrap_or_default();
        let known = match first {
            "self" => self.has_self() && text.contains('.'),
            name => self.arguments().any(|argument| argument == name),
        };
        if !known {
            let known: Vec<_> = self
                .arguments()
                .map(|name| format!("`{{{name}}}`"))
                .collect();
            let remedy = match known.is_empty() {
                true => "it has none with a name".to_owned(),
                false => format!("write one of {}", known.join(", ")),
            };
            let function = &self.item.sig.ident;
            return Err(error(format!(
                "`{{{text}}}` is not an argument of `{function}`; {remedy}"
            )));
        }
        syn::parse_str(text).map_err(|_| {
            error(format!(
                "`{{{text}}}` is neither an argument nor a field of one"
            ))
        })
    }

    /// The arguments whose hash is the key of `prefix`: all but `self` and the keep.
    pub(crate) fn hashed_arguments(&self, keep: &Expr) -> Result<Vec<Ident>> {
        let keep = keep.to_token_stream().to_string();
        let mut names = Vec::new();
        for argument in &self.item.sig.inputs {
            let FnArg::Typed(argument) = argument else {
                continue;
            };
            let Pat::Ident(pattern) = &*argument.pat else {
                let message =
                    "`prefix` hashes all arguments; give this one a name, or write a `key`";
                return Err(Error::new_spanned(&argument.pat, message));
            };
            if pattern.ident != keep && !is_keep(&argument.ty) {
                names.push(pattern.ident.clone());
            }
        }
        Ok(names)
    }

    /// The expression of the keep: the one given, the argument, or the field.
    pub(crate) fn keep(&self, given: Option<&LitStr>) -> Result<Expr> {
        if let Some(given) = given {
            return given.parse().map_err(|_| {
                Error::new_spanned(given, "not an expression; write `keep = \"self.keep\"`")
            });
        }
        for argument in &self.item.sig.inputs {
            if let FnArg::Typed(argument) = argument
                && let Pat::Ident(pattern) = &*argument.pat
                && (pattern.ident == "keep" || is_keep(&argument.ty))
            {
                let name = &pattern.ident;
                return Ok(parse_quote!(#name));
            }
        }
        if self.has_self() {
            return Ok(parse_quote!(self.keep));
        }
        let attribute = self.attribute;
        let message = format!(
            "#[{attribute}] finds no `Keep`; add an argument `keep: &Keep`, or write `keep = \"an expression\"` in the attribute"
        );
        Err(Error::new_spanned(&self.item.sig.ident, message))
    }

    /// The type that the function returns.
    pub(crate) fn output(&self) -> TokenStream {
        match &self.item.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, output) => output.to_token_stream(),
        }
    }

    /// Whether the function returns a `Result`, by the name of the type.
    pub(crate) fn returns_result(&self) -> bool {
        let ReturnType::Type(_, output) = &self.item.sig.output else {
            return false;
        };
        let Type::Path(path) = &**output else {
            return false;
        };
        let last = path.path.segments.last();
        last.is_some_and(|name| name.ident.to_string().ends_with("Result"))
    }

    /// The function with another body.
    pub(crate) fn with_body(mut self, body: TokenStream) -> Result<TokenStream> {
        self.item.block = syn::parse2(quote!({ #body }))?;
        Ok(self.item.into_token_stream())
    }

    fn has_self(&self) -> bool {
        self.item.sig.receiver().is_some()
    }

    fn arguments(&self) -> impl Iterator<Item = &Ident> {
        self.item
            .sig
            .inputs
            .iter()
            .filter_map(|argument| match argument {
                FnArg::Typed(argument) => match &*argument.pat {
                    Pat::Ident(pattern) => Some(&pattern.ident),
                    _ => None,
                },
                FnArg::Receiver(_) => None,
            })
    }
}

/// Whether a type is `Keep` or a reference to one.
fn is_keep(of: &Type) -> bool {
    match of {
        Type::Reference(reference) => is_keep(&reference.elem),
        Type::Path(path) => (path.path.segments.last()).is_some_and(|name| name.ident == "Keep"),
        _ => false,
    }
}
