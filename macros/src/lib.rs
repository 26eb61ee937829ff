//! The attributes of tower-keep, which its feature `macros` exports.

mod arguments;
mod cached;
mod duration;
mod function;
mod invalidates;
mod template;

use proc_macro::TokenStream;

/// Stores what an async function returns, and returns the stored value to later calls with the same
/// arguments, as `Keep::get_or_set` does.
///
/// ```ignore
/// use tower_keep::{Keep, cached};
///
/// #[cached(key = "engagement:{id}", ttl = "30m")]
/// async fn engagement(keep: &Keep, db: &Db, id: u32) -> Result<Engagement, DbError> {
///     db.engagement(id).await
/// }
/// ```
///
/// | name | value | meaning |
/// |---|---|---|
/// | `key` | `"engagement:{id}:tasks"` | the key; `{…}` is an argument, or a field of one, which is encoded; `{#…}` is hashed |
/// | `prefix` | `"search"` | in place of `key`: the key is the prefix and a hash of all arguments, without `self` and the keep |
/// | `ttl`, `refresh_ahead`, `stale_while_revalidate`, `stale_if_error`, `cache_none` | `"30m"`, or seconds | as in `ValueEntry` |
/// | `early_refresh` | `true` | as in `ValueEntry` |
/// | `tags` | `["org:{org}"]` | the value's tags, written as keys |
/// | `condition` | `"\|hits: &Vec<String>\| !hits.is_empty()"` | whether a value is stored |
/// | `keep` | `"self.state.keep"` | the `Keep`; by default the argument `keep`, or the field `self.keep` |
///
/// The function may return a `Result`: only an `Ok` is stored. A return type counts as one if its name ends in
/// `Result`. What it returns must implement serde's `Serialize` and `DeserializeOwned`, and `None` is not
/// stored unless `cache_none` says for how long. A call within the function for the same key runs the
/// function again.
///
/// A refresh runs in the call that finds it due; for refreshes in the background, call
/// `Keep::get_or_refresh`.
#[proc_macro_attribute]
pub fn cached(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = cached::expand(arguments.into(), item.into());
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes stored responses and values unusable after an async function, which changes their data, as
/// `Keep::write` does: also if the function fails, or if its future is dropped.
///
/// ```ignore
/// use tower_keep::{Keep, invalidates};
///
/// #[invalidates("engagement:{id}", "engagement:{id}:*", "dashboard:*:engagement_list")]
/// async fn rename(keep: &Keep, db: &Db, id: u32, name: &str) -> Result<(), DbError> {
///     db.rename(id, name).await
/// }
/// ```
///
/// Each text is a key, or a pattern if it contains a `*`; `{…}` is an argument, or a field of one, which is
/// encoded as in keys. `keep = "self.state.keep"` names the `Keep`; by default it is the argument `keep`, or the
/// field `self.keep`.
#[proc_macro_attribute]
pub fn invalidates(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = invalidates::expand(arguments.into(), item.into());
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
