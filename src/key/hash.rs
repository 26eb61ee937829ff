//! Hashes in keys: SHA-256, truncated, in hexadecimal digits.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// 128 bits. To find two inputs with the same digits takes about 2^64 attempts; half as many bits
/// take minutes.
pub(crate) fn long(bytes: &[u8]) -> [u8; 32] {
    hex(&Sha256::digest(bytes))
}

/// 128 bits of a sequence of texts. Each counts with its length, so that different sequences never make
/// the same input.
pub(crate) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    std::array::from_fn(|at| digest[at])
}

/// [`long`] of the arguments as JSON with sorted keys.
pub(crate) fn of_arguments<T: Serialize + ?Sized>(args: &T) -> [u8; 32] {
    match serde_json::to_value(args) {
        Ok(value) => long(canonical(&value).as_bytes()),
        Err(error) => {
            tracing::warn!(%error, "the arguments of a key cannot be serialised as JSON: using a random key, under which nothing is cached");
            // A fixed key would give one caller's value to another.
            long(&std::array::from_fn::<_, 32, _>(|_| fastrand::u8(..)))
        }
    }
}

/// JSON with sorted keys. The order of serde_json's own output depends on its features, which any
/// crate in the build can enable.
fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_sorted(value, &mut out);
    out
}

fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_sorted(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The first `N` hexadecimal digits of a digest, which must have as many.
pub(crate) fn hex<const N: usize>(digest: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| {
        let byte = digest[i / 2];
        let half = if i % 2 == 0 { byte >> 4 } else { byte & 15 };
        b"0123456789abcdef"[usize::from(half)]
    })
}
