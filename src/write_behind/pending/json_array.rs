//! Adding elements to an array in JSON text. The text around them is not changed.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The end of an array where elements are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArrayEnd {
    Front,
    Back,
}

/// Where in a response the array is, and how its elements are recognised.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArrayShape<'a> {
    /// The field of the object that holds the array; `None` if the response is the array.
    pub(super) field: Option<&'a str>,
    /// The field by which an element is recognised.
    pub(super) id: Option<&'a str>,
}

/// The text with the elements, each a JSON text, added to its array in their order. An element that
/// the array has already, by its id, is left out.
///
/// `None` if the text is not JSON of this shape.
pub(super) fn with_elements<T: AsRef<[u8]>>(
    text: &[u8],
    shape: ArrayShape<'_>,
    end: ArrayEnd,
    elements: &[T],
) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let whole: &RawValue = serde_json::from_str(text).ok()?;
    let array = match shape.field {
        Some(name) => field(whole, name)?,
        None => whole,
    };
    let inside = array.get().strip_prefix('[')?.strip_suffix(']')?;
    let mut added: Vec<&[u8]> = elements.iter().map(AsRef::as_ref).collect();
    if let Some(id) = shape.id {
        let known = ids(array, id)?;
        added.retain(|element| element_id(element, id).is_none_or(|id| !known.contains(&id)));
    }
    // Both are slices of `text`.
    let start = inside.as_ptr().addr() - text.as_ptr().addr();
    let stop = start + inside.len();
    Some(splice(text, (start, stop), end, &added))
}

/// Inserts `added` at one end of an array whose brackets enclose `start..stop`.
fn splice(text: &str, (start, stop): (usize, usize), end: ArrayEnd, added: &[&[u8]]) -> Vec<u8> {
    let is_empty = text[start..stop].trim_ascii().is_empty();
    let needs_comma = !is_empty && !added.is_empty();
    let at = match end {
        ArrayEnd::Front => start,
        ArrayEnd::Back => stop,
    };
    let length = added.iter().map(|element| element.len() + 1).sum::<usize>();
    let mut out = Vec::with_capacity(text.len() + length);
    out.extend_from_slice(&text.as_bytes()[..at]);
    if needs_comma && end == ArrayEnd::Back {
        out.push(b',');
    }
    for (number, element) in added.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(element.trim_ascii());
    }
    if needs_comma && end == ArrayEnd::Front {
        out.push(b',');
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    out
}

/// The ids of all elements that have one.
fn ids<'a>(array: &'a RawValue, name: &str) -> Option<HashSet<ElementId<'a>>> {
    let elements: Vec<&RawValue> = serde_json::from_str(array.get()).ok()?;
    let id = |element| ElementId::of(field(element, name)?);
    Some(elements.into_iter().filter_map(id).collect())
}

fn element_id<'a>(element: &'a [u8], name: &str) -> Option<ElementId<'a>> {
    let element: &RawValue = serde_json::from_slice(element).ok()?;
    ElementId::of(field(element, name)?)
}

/// The value of an id: the text of a string without escapes, or any other value as written. So numbers
/// keep all their digits.
#[derive(PartialEq, Eq, Hash)]
enum ElementId<'a> {
    Text(Cow<'a, str>),
    Other(&'a str),
}

impl<'a> ElementId<'a> {
    /// `None` for `null`, which identifies nothing.
    fn of(value: &'a RawValue) -> Option<Self> {
        let written = value.get();
        if written == "null" {
            return None;
        }
        let is_plain = written.starts_with('"') && !written.contains('\\');
        if is_plain {
            return Some(Self::Text(Cow::Borrowed(written.trim_matches('"'))));
        }
        let text = serde_json::from_str::<String>(written);
        Some(text.map_or(Self::Other(written), |text| Self::Text(Cow::Owned(text))))
    }
}

/// The value of a field of an object: the last one of this name, as most readers take it. `None` if
/// there is none, or `value` is not an object.
fn field<'a>(value: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    if !value.get().starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(value.get());
    reader.deserialize_map(FieldVisitor(name)).ok()?
}

struct FieldVisitor<'n>(&'n str);

impl<'de> Visitor<'de> for FieldVisitor<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_named) = map.next_key_seed(NameSeed(self.0))? {
            if is_named {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a name without copying it, and compares it.
struct NameSeed<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const TOP: ArrayShape<'static> = ArrayShape {
        field: None,
        id: None,
    };

    fn added(
        text: &str,
        shape: ArrayShape<'_>,
        end: ArrayEnd,
        elements: &[&str],
    ) -> Option<String> {
        let text = with_elements(text.as_bytes(), shape, end, elements)?;
        Some(String::from_utf8(text).expect("UTF-8"))
    }

    #[test]
    fn elements_are_added_at_either_end_and_nothing_else_changes() {
        let base = " [ {\"b\": 1,\"a\":1.50} , 2 ]\n";
        assert_eq!(
            added(base, TOP, ArrayEnd::Front, &[" {\"z\":1}\n", "7"]).expect("an array"),
            " [{\"z\":1},7, {\"b\": 1,\"a\":1.50} , 2 ]\n"
        );
        assert_eq!(
            added(base, TOP, ArrayEnd::Back, &["{\"z\":1}", "7"]).expect("an array"),
            " [ {\"b\": 1,\"a\":1.50} , 2 ,{\"z\":1},7]\n"
        );
        for end in [ArrayEnd::Front, ArrayEnd::Back] {
            let filled = added("[\n]", TOP, end, &["1", "2"]).expect("an array");
            assert_eq!(
                serde_json::from_str::<Value>(&filled).expect("JSON"),
                json!([1, 2])
            );
            assert_eq!(added("[1, 2]", TOP, end, &[]).expect("an array"), "[1, 2]");
        }
    }

    #[test]
    fn the_array_may_be_a_field_of_an_object() {
        let shape = ArrayShape {
            field: Some("items"),
            ..TOP
        };
        let front = |base: &str| added(base, shape, ArrayEnd::Front, &["0"]);
        assert_eq!(
            front("{\"z\": [9], \"items\" : [1], \"a\":{\"items\":[2]}}").expect("an array"),
            "{\"z\": [9], \"items\" : [0,1], \"a\":{\"items\":[2]}}"
        );
        // An escaped name, and the last one of two.
        assert_eq!(
            front("{\"items\":[1],\"it\\u0065ms\":[2]}").expect("an array"),
            "{\"items\":[1],\"it\\u0065ms\":[0,2]}"
        );
        for other in [
            "[1]",
            "{\"items\":1}",
            "{\"item\":[1]}",
            "{}",
            "7",
            "\"items\"",
        ] {
            assert_eq!(front(other), None, "{other}");
        }
    }

    #[test]
    fn text_of_another_shape_is_left_alone() {
        for other in [
            "",
            "{}",
            "7",
            "[1",
            "[1]]",
            "[1,]",
            "\"[]\"",
            "\u{feff}[]",
            "[1] x",
        ] {
            assert_eq!(added(other, TOP, ArrayEnd::Back, &["0"]), None, "{other:?}");
        }
        assert!(with_elements(b"[\"\xff\"]", TOP, ArrayEnd::Back, &["0"]).is_none());
    }

    #[test]
    fn an_element_that_the_array_has_already_is_left_out() {
        let shape = ArrayShape {
            id: Some("id"),
            ..TOP
        };
        let front = |base: &str, elements: &[&str]| {
            added(base, shape, ArrayEnd::Front, elements).expect("an array")
        };
        let base = "[{\"n\":1, \"id\": \"a\"},{\"id\":12345678901234567890123},3,{\"id\":null}]";
        let same = [
            "{\"id\":\"\\u0061\",\"x\":1}",
            "{ \"id\" : 12345678901234567890123 }",
        ];
        assert_eq!(front(base, &same), base);
        // Without an id, or with another one.
        let others = [
            "{\"id\":12345678901234567890124}",
            "{\"id\":null}",
            "{\"n\":1}",
            "3",
            "{\"id\":[\"a\"]}",
        ];
        let all = front(base, &others);
        assert_eq!(all, format!("[{},{}", others.join(","), &base[1..]));
    }

    #[test]
    fn deep_nesting_overflows_no_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let shape = ArrayShape {
            id: Some("id"),
            ..TOP
        };
        let grown = added(&deep, shape, ArrayEnd::Front, &["1", deep.as_str()]);
        assert_eq!(grown.expect("an array").len(), deep.len() * 2 + 3);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_result_is_the_concatenation(
            base in prop::collection::vec(any_json(), 0..5),
            more in prop::collection::vec(any_json(), 0..5),
            pretty: bool,
        ) {
            let text = if pretty { serde_json::to_string_pretty(&base) } else { serde_json::to_string(&base) };
            let text = text.expect("JSON");
            let elements: Vec<_> = more.iter().map(Value::to_string).collect();
            for end in [ArrayEnd::Front, ArrayEnd::Back] {
                let grown = with_elements(text.as_bytes(), TOP, end, &elements).expect("an array");
                let grown: Vec<Value> = serde_json::from_slice(&grown).expect("JSON");
                let (first, second) = if end == ArrayEnd::Front { (&more, &base) } else { (&base, &more) };
                let expected: Vec<_> = first.iter().chain(second).cloned().collect();
                prop_assert_eq!(grown, expected);
            }
        }

        #[test]
        fn any_bytes_are_accepted(
            text in prop::collection::vec(any::<u8>(), 0..40),
            element in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let shape = ArrayShape { field: None, id: Some("id") };
            with_elements(&text, shape, ArrayEnd::Front, &[element]);
        }
    }
}
