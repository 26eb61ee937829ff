//! What the attributes `cached` and `invalidates` expand to.

use std::{convert::Infallible, fmt::Display, future::Future};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    get_or_set_error::GetOrSetError, handle::Keep, invalidation::Invalidation,
    value_condition::StoreCondition, value_entry::ValueEntry,
};
use crate::key::Key;

/// A `Result`, under whatever name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`, although its name ends so",
    note = "give the type another name, or return a `Result`"
)]
pub trait ResultLike: Sized {
    type Value;
    type Error;

    fn into_result(self) -> Result<Self::Value, Self::Error>;
    fn from_result(result: Result<Self::Value, Self::Error>) -> Self;
}

impl<T, E> ResultLike for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }

    fn from_result(result: Self) -> Self {
        result
    }
}

/// The body of a cached function that returns a `Result`. A call for a key that this task makes already runs
/// the work, as without the attribute.
pub async fn cached_result<R, C, Fut>(entry: ValueEntry<C>, work: Fut) -> R
where
    R: ResultLike<Value: Serialize + DeserializeOwned>,
    C: StoreCondition<R::Value>,
    Fut: Future<Output = R>,
{
    let mut work = Some(work);
    let unused = &mut work;
    let make = move || async move {
        let work = unused.take().expect("it is called at most once");
        work.await.into_result()
    };
    match entry.get_or_set(make).await {
        Ok(value) => R::from_result(Ok(value)),
        Err(GetOrSetError::Make(error)) => R::from_result(Err(error)),
        Err(GetOrSetError::SelfWait { .. }) => {
            work.expect("nothing was made after a self-wait").await
        }
    }
}

/// The body of a cached function that does not return a `Result`.
pub async fn cached_value<T, C, Fut>(entry: ValueEntry<C>, work: Fut) -> T
where
    T: Serialize + DeserializeOwned,
    C: StoreCondition<T>,
    Fut: Future<Output = T>,
{
    let work = async { Ok::<_, Infallible>(work.await) };
    match cached_result::<Result<T, Infallible>, _, _>(entry, work).await {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// The body of a function with `#[invalidates]` that returns a `Result`.
pub async fn written_result<R, I, Fut>(keep: Keep, changes: I, work: Fut) -> R
where
    R: ResultLike,
    I: IntoIterator<Item = Invalidation>,
    Fut: Future<Output = R>,
{
    let work = async { work.await.into_result() };
    R::from_result(keep.write(changes, work).await)
}

/// The body of a function with `#[invalidates]` that does not return a `Result`.
pub async fn written_value<T, I, Fut>(keep: Keep, changes: I, work: Fut) -> T
where
    I: IntoIterator<Item = Invalidation>,
    Fut: Future<Output = T>,
{
    let work = async { Ok::<_, Infallible>(work.await) };
    match keep.write(changes, work).await {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// A segment of a pattern that is text or a wildcard.
#[must_use]
pub fn literal(text: &str) -> String {
    text.to_owned()
}

/// A segment of a pattern that is an argument, encoded as in keys.
#[must_use]
pub fn value(value: impl Display, hashed: bool) -> String {
    let entity = Key::new("x");
    let key = match hashed {
        true => entity.hashed(value),
        false => entity.id(value),
    };
    key.as_str()["x:".len()..].to_owned()
}

/// The invalidation of a pattern. One that is too long names all keys with its text before the first wildcard.
#[must_use]
pub fn pattern(segments: &[String]) -> Invalidation {
    let text = segments.join(":");
    Invalidation::pattern(&text).unwrap_or_else(|_| {
        let literal = text.split('*').next().unwrap_or_default();
        Invalidation::prefix(literal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_in_patterns_are_encoded_as_in_keys() {
        let below = pattern(&[literal("engagement"), value("4*2", false), literal("*")]);
        let key = Key::new("engagement").id("4*2").sub("tasks");
        assert!(below.names(&key));
        assert!(!below.names(&Key::new("engagement").id("432").sub("tasks")));
        let secret = pattern(&[literal("session"), value("token", true), literal("*")]);
        assert!(secret.names(&Key::new("session").hashed("token").sub("user")));
    }

    #[test]
    fn a_pattern_that_is_too_long_names_more() {
        let long = pattern(&[literal("a"), literal("*"), literal(&"b".repeat(2000))]);
        assert!(long.names(&Key::new("a").id(1)) && !long.names(&Key::new("b").id(1)));
    }
}
