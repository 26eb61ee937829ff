//! The encoder of the values in keys: routes, application keys and identities all use it.

use smallvec::SmallVec;

use super::hash;

/// The buffer that keys are written into. Most keys need no allocation.
pub(crate) type KeyBytes = SmallVec<[u8; 240]>;

/// The longest encoded value, in bytes.
pub(crate) const VALUE_MAX: usize = 64;
/// The longest encoded path of a key `url:…`, in bytes.
pub(crate) const URL_MAX: usize = 256;
/// The longest key without variations, in bytes.
pub(crate) const KEY_MAX: usize = 512;

/// A percent sign that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Encodes a value: every byte that is not plain becomes `%XX`. A long result is shortened.
pub(crate) fn push_value(value: &[u8], out: &mut KeyBytes) {
    let start = out.len();
    push_bytes(value, out);
    shorten(out, start, VALUE_MAX);
}

/// Encodes a value like [`push_value`], without shortening it.
pub(crate) fn push_bytes(value: &[u8], out: &mut KeyBytes) {
    if !push_plain(value, out) {
        value.iter().for_each(|&byte| push_byte(byte, out));
    }
}

/// Percent-decodes a path parameter, and encodes the result.
///
/// In a catch-all an encoded slash stays distinct from a raw one: it becomes `%2f`, and the encoder
/// writes only upper-case digits.
#[inline]
pub(crate) fn push_path(value: &str, catch_all: bool, out: &mut KeyBytes) -> Result<(), Malformed> {
    if push_plain(value.as_bytes(), out) {
        return Ok(());
    }
    push_decoded_path(value, catch_all, out)
}

#[inline(never)]
fn push_decoded_path(value: &str, catch_all: bool, out: &mut KeyBytes) -> Result<(), Malformed> {
    push_decoded(value, catch_all.then_some((b'/', b"%2f")), None, out)
}

/// Percent-decodes a query parameter's value, and encodes the result. A raw `+`, which servers
/// interpret in two ways, becomes `%2b`, which differs from a space and from an encoded plus sign.
pub(crate) fn push_query(value: &str, out: &mut KeyBytes) -> Result<(), Malformed> {
    if push_plain(value.as_bytes(), out) {
        return Ok(());
    }
    push_decoded(value, None, Some((b'+', b"%2b")), out)
}

/// Writes a value if no byte of it has to be decoded or encoded, as in most values.
#[inline(always)]
fn push_plain(value: &[u8], out: &mut KeyBytes) -> bool {
    let plain = all_bytes(value, is_plain);
    if plain {
        out.extend_from_slice(value);
    }
    plain
}

/// Decodes and encodes. `escaped` and `raw` are exceptions: a byte, and the text that it becomes if
/// the input contains it as an escape, or as itself.
fn push_decoded(
    value: &str,
    escaped: Option<(u8, &[u8; 3])>,
    raw: Option<(u8, &[u8; 3])>,
    out: &mut KeyBytes,
) -> Result<(), Malformed> {
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, special) = if *first == b'%' {
            rest = tail.get(2..).ok_or(Malformed)?;
            (hex_pair(tail).ok_or(Malformed)?, escaped)
        } else {
            rest = tail;
            (*first, raw)
        };
        match special {
            Some((of, text)) if of == byte => out.extend_from_slice(text),
            _ => push_byte(byte, out),
        }
    }
    Ok(())
}

/// Encodes a part of a URL. Decodes only unreserved characters (RFC 3986 section 6.2.2), so that two
/// URLs that the origin may distinguish have different keys.
pub(crate) fn push_uri(part: &str, out: &mut KeyBytes) {
    push_url_part(part, |byte| !is_unreserved(byte), out);
}

/// Decodes and encodes the path of a URL: one that is spelled in two ways becomes the same, but an
/// escaped slash, backslash, percent sign or NUL stays distinct from the character, and so does a
/// malformed escape.
pub(crate) fn push_url_path(path: &str, out: &mut KeyBytes) {
    push_url_part(path, |byte| matches!(byte, b'/' | b'\\' | b'%' | 0), out);
}

/// Encodes a part of a URL, in which an escape stays distinct from the byte that it stands for if
/// `stays_escaped` holds for that byte.
fn push_url_part(part: &str, stays_escaped: impl Fn(u8) -> bool, out: &mut KeyBytes) {
    let mut rest = part.as_bytes();
    if push_plain(rest, out) {
        return;
    }
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, hex_pair(tail)) {
            (b'%', Some(byte)) => {
                rest = &tail[2..];
                if stays_escaped(byte) {
                    out.extend_from_slice(b"%25");
                    push_hex(byte, out);
                } else {
                    push_byte(byte, out);
                }
            }
            _ => push_byte(*first, out),
        }
    }
}

/// Whether a part of a URL has an escape of an unreserved character, which is equivalent to the
/// character itself (RFC 3986 section 6.2.2.2) but not the same to every server.
pub(crate) fn escapes_unreserved(part: &str) -> bool {
    let escapes = part.split('%').skip(1);
    let mut bytes = escapes.filter_map(|after| hex_pair(after.as_bytes()));
    bytes.any(is_unreserved)
}

/// Writes how the reserved characters of a path or its parameter are spelled: `1` for a character that stands
/// for itself, `0` for an escape, nothing for unreserved characters and slashes. Together with the
/// decoded value it distinguishes all values that are not equivalent.
pub(crate) fn push_spelling(value: &str, out: &mut KeyBytes) {
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = hex_pair(tail).filter(|_| *first == b'%');
        if escaped.is_some() {
            rest = &tail[2..];
        }
        let byte = escaped.unwrap_or(*first);
        if !is_unreserved(byte) && byte != b'/' {
            out.push(if escaped.is_some() { b'0' } else { b'1' });
        }
    }
}

/// Whether all reserved characters of a path are escaped, apart from slashes.
#[inline]
pub(crate) fn has_only_escaped(path: &str) -> bool {
    all_bytes(path.as_bytes(), |byte| {
        is_plain(byte) | (byte == b'/') | (byte == b'%') | (byte == b'~')
    })
}

/// Shortens the bytes from `start` on to `max` bytes, if they are longer: keeps as many as there is
/// room for, and adds `+` and 32 digits of the hash of all.
#[inline]
pub(crate) fn shorten(out: &mut KeyBytes, start: usize, max: usize) {
    if out.len() - start > max {
        cut(out, start, max);
    }
}

#[cold]
fn cut(out: &mut KeyBytes, start: usize, max: usize) {
    let digits = hash::long(&out[start..]);
    let mut end = start + max - digits.len() - 1;
    // An escape is not cut in two.
    if let Some(back) = out[end - 2..end]
        .iter()
        .rev()
        .position(|&byte| byte == b'%')
    {
        end -= back + 1;
    }
    out.truncate(end);
    out.push(b'+');
    out.extend_from_slice(&digits);
}

/// Decodes a parameter's name like a form (`+` is a space). A percent sign without two hexadecimal
/// digits stays as it is.
pub(crate) fn form_bytes(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let [first, tail @ ..] = rest else {
            return None;
        };
        rest = tail;
        match (first, hex_pair(tail)) {
            (b'%', Some(byte)) => {
                rest = &tail[2..];
                Some(byte)
            }
            (b'+', _) => Some(b' '),
            _ => Some(*first),
        }
    })
}

/// Returns encoded bytes as text; the encoder writes only ASCII.
pub(crate) fn text(encoded: &[u8]) -> &str {
    std::str::from_utf8(encoded).unwrap_or_default()
}

pub(crate) fn push_byte(byte: u8, out: &mut KeyBytes) {
    if is_plain(byte) {
        out.push(byte);
    } else {
        out.push(b'%');
        push_hex(byte, out);
    }
}

fn push_hex(byte: u8, out: &mut KeyBytes) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    is_plain(byte) || byte == b'~'
}

/// Whether `byte` may appear unencoded in the keys and templates that authors write.
pub(crate) fn is_literal(byte: u8) -> bool {
    byte.is_ascii_graphic() && !RESERVED.contains(&byte)
}

/// The bytes of the syntax of keys and patterns: variations, wildcards, placeholders, Cluster hash tags.
const RESERVED: &[u8] = b"*?[]\\{}@#~";

/// Whether `is` holds for all bytes. Checks chunks without an early exit, so that the compiler
/// compares many bytes at once.
#[inline]
pub(crate) fn all_bytes(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let holds = |chunk: &[u8; 16]| chunk.iter().fold(true, |all, &byte| all & is(byte));
    match bytes.last_chunk() {
        // The last chunk overlaps the one before, so that no byte is left.
        Some(last) => bytes.as_chunks().0.iter().all(holds) && holds(last),
        None => bytes.iter().all(|&byte| is(byte)),
    }
}

/// Without branches or a table, so that the compiler checks many bytes at once.
fn is_plain(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'-') | (byte == b'.') | (byte == b'_')
}
