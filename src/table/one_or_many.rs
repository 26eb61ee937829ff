/// One value, or a list of values: the argument of setters that take lists.
///
/// Implemented for everything that converts into a `T`, and for every iterable of it: arrays, `Vec`s,
/// iterators. `Shape` tells the two apart (`T` or `[T]`); the compiler infers it.
///
/// ```
/// use tower_keep::table::{By, Limit, mins};
///
/// let one = Limit::new("api", 100, mins(1)).methods("POST").by(By::Ip);
/// let many = Limit::new("api", 100, mins(1)).methods(["POST", "PUT"]).by([By::User, By::Ip]);
/// # let _ = (one, many);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither one `{T}` nor a list of them",
    label = "write one value, an array, a `Vec` or an iterator"
)]
pub trait OneOrMany<T, Shape: ?Sized> {
    /// The values, in the order given.
    fn into_vec(self) -> Vec<T>;
}

impl<T, U: Into<T>> OneOrMany<T, T> for U {
    fn into_vec(self) -> Vec<T> {
        vec![self.into()]
    }
}

impl<T, I> OneOrMany<T, [T]> for I
where
    I: IntoIterator,
    I::Item: Into<T>,
{
    fn into_vec(self) -> Vec<T> {
        self.into_iter().map(Into::into).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::By;

    fn strings<Shape: ?Sized>(values: impl OneOrMany<String, Shape>) -> Vec<String> {
        values.into_vec()
    }

    fn counted_by<Shape: ?Sized>(values: impl OneOrMany<By, Shape>) -> Vec<By> {
        values.into_vec()
    }

    #[test]
    fn one_value_is_a_list_of_one() {
        assert_eq!(strings("a"), ["a"]);
        assert_eq!(strings("a".to_owned()), ["a"]);
        assert_eq!(counted_by(By::Ip), [By::Ip]);
    }

    #[test]
    fn a_list_keeps_its_order() {
        assert_eq!(strings(["b", "a"]), ["b", "a"]);
        assert_eq!(strings(vec!["b".to_owned()]), ["b"]);
        assert_eq!(strings(&["b".to_owned()]), ["b"]);
        assert_eq!(strings(["b", "a"].iter().rev().copied()), ["a", "b"]);
        assert_eq!(strings(Some("a")), ["a"]);
        assert_eq!(counted_by([By::User, By::Ip]), [By::User, By::Ip]);
    }

    #[test]
    fn an_empty_list_is_empty() {
        assert!(strings(Vec::<&str>::new()).is_empty());
    }
}
