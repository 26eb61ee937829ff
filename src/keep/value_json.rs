//! The JSON of application values.

use std::any::type_name;

use bytes::Bytes;
use http::{StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, Kind},
    key::Key,
    message::media_type::is_json,
    store::entry::{Content, Entry},
};

/// The JSON text of a value, or of a stored 200 response.
pub(super) fn json_of(entry: &Entry) -> Option<Bytes> {
    match &entry.content {
        Content::Value(value) => Some(value.json.clone()),
        Content::Response(response) => {
            let json = response
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| is_json(kind.as_bytes()));
            (json && response.status == StatusCode::OK && response.part.is_none())
                .then(|| response.body.clone())
        }
        Content::Variants(_) => None,
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(key: &Key, value: &T) -> Result<Bytes, Error> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|source| {
            let message = format!("the value for `{key}` does not serialise to JSON");
            Error::new(Kind::Value, message).with_shown_cause(source)
        })
}

/// Decodes a value. A `null` is no value of a type without `null`. The error contains the place but not the
/// content, which may be secret.
pub(super) fn decode<T: DeserializeOwned>(key: &Key, json: &[u8]) -> Result<Option<T>, Error> {
    serde_json::from_slice(json).map(Some).or_else(|source| {
        if json == NULL {
            return Ok(None);
        }
        let message = format!(
            "the JSON stored under `{key}` is not a `{}` (line {}, column {})",
            type_name::<T>(),
            source.line(),
            source.column(),
        );
        Err(Error::new(Kind::Value, message).with_hidden_cause(source))
    })
}

/// The JSON of a value that does not exist.
pub(super) const NULL: &[u8] = b"null";
