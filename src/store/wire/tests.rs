//! Round trips, other versions of the format, and arbitrary bytes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{KeyHash, MAGIC, ReadContext, Unreadable, at};
use crate::{
    clock::Timestamp,
    semantics::{
        freshness::Lifetime,
        stored_fields::is_hop_by_hop,
        stored_response::{Part, StoredResponse, Variant, Variants},
    },
    store::{
        entry::{Content, Entry, LocalState, StoredValue},
        position::Position,
    },
};

fn entry(content: Content) -> Entry {
    Entry {
        content,
        position: Position {
            epoch: 0xfeed_f00d_dead_beef,
            n: 42,
        },
        stored: Timestamp(1_700_000_000_123),
        expires: Timestamp(1_700_000_600_123),
        entity: "engagement".into(),
        user: None,
        tags: ["org:456".into(), "häuser".into()].into(),
        local: LocalState::default(),
    }
}

fn response() -> StoredResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "14"),
        ("etag", "\"abc\""),
        ("x-unheard-of", "1"),
        ("link", "</a>; rel=next"),
        ("link", "</b>; rel=prev"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.append(
        "x-latin",
        HeaderValue::from_bytes(b"caf\xe9").expect("obs-text"),
    );
    StoredResponse {
        status: StatusCode::OK,
        headers,
        body: Bytes::from_static(b"{\"name\":\"one\"}"),
        trailers: None,
        lifetime: Lifetime {
            fresh: Duration::from_millis(1_800_500),
            initial_age: Duration::from_secs(3),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(600),
            must_revalidate: true,
            no_cache: false,
            heuristic: true,
            explicit: false,
            shared: true,
        },
        part: None,
        cost: Duration::from_micros(1234),
    }
}

fn plain() -> Entry {
    entry(Content::Response(response()))
}

fn ornate() -> Entry {
    let mut trailers = HeaderMap::new();
    trailers.append("grpc-status", HeaderValue::from_static("0"));
    let response = StoredResponse {
        status: StatusCode::PARTIAL_CONTENT,
        trailers: Some(trailers),
        part: Some(Part {
            first: 100,
            complete: Some(1 << 40),
        }),
        ..response()
    };
    Entry {
        user: Some("user-123".into()),
        ..entry(Content::Response(response))
    }
}

fn variants() -> Entry {
    let variant = |fields: &[&'static str], hash: &str| Variant {
        fields: fields
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect(),
        hash: hash.into(),
        by_language: (!fields.is_empty()).then(|| "b".repeat(32).into()),
    };
    let mut variants = Variants::of([
        variant(&["accept-language", "x-unheard-of"], &"a".repeat(32)),
        variant(&[], &"0".repeat(32)),
    ]);
    for (listed, number) in variants.0.iter_mut().zip([1, 1000]) {
        listed.weight = number;
        listed.used = Timestamp(1_700_000_000_000 + number as u64);
    }
    entry(Content::Variants(variants))
}

fn value() -> Entry {
    entry(Content::Value(StoredValue {
        json: Bytes::from_static(b"[1,2,3]"),
        lifetime: Lifetime {
            fresh: Duration::from_secs(60),
            ..Lifetime::default()
        },
        cost: Duration::from_millis(5),
    }))
}

const KEY: &str = "engagement:42";

/// The context of a reader of [`KEY`] without bounds.
fn context() -> ReadContext {
    ReadContext {
        key: KeyHash::of("", KEY),
        now: Timestamp(u64::MAX),
        max_ttl: Duration::MAX,
        max_body: u64::MAX,
    }
}

fn encode(entry: &Entry) -> Option<Vec<u8>> {
    super::encode(entry, KeyHash::of("", KEY))
}

fn decode(stored: &Bytes) -> Result<Arc<Entry>, Unreadable> {
    super::decode(stored, &context())
}

fn encoded(entry: &Entry) -> Bytes {
    encode(entry).expect("small").into()
}

/// The stored parts of an entry, for comparison.
fn shown(entry: &Entry) -> String {
    format!(
        "{:?}",
        (
            &entry.content,
            entry.position,
            entry.stored,
            entry.expires,
            &entry.entity,
            &entry.user,
            &entry.tags,
        )
    )
}

/// Corrects the checksum of altered bytes.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let checksum = crc32fast::hash(&bytes[at::VERSION..]);
    bytes[at::CHECKSUM..at::VERSION].copy_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

fn unreadable(bytes: Bytes) -> Unreadable {
    decode(&bytes).expect_err("unreadable")
}

#[test]
fn entries_round_trip() {
    for entry in [plain(), ornate(), variants(), value()] {
        let back = decode(&encoded(&entry)).expect("readable");
        assert_eq!(shown(&back), shown(&entry));
    }
}

#[test]
fn an_entry_is_encoded_in_one_allocation() {
    for entry in [plain(), ornate(), variants(), value()] {
        drop(encode(&entry)); // Initialises the statics.
        let mut stored = None;
        let allocations = measure(|| stored = encode(&entry)).count_total;
        assert_eq!(allocations, 1, "{stored:?}");
    }
}

#[test]
fn body_and_field_values_are_slices_of_the_input() {
    let stored = encoded(&plain());
    let within = |bytes: &[u8]| stored.as_ptr_range().contains(&bytes.as_ptr());
    let entry = decode(&stored).expect("readable");
    let Content::Response(response) = &entry.content else {
        panic!("a response");
    };
    assert!(within(&response.body));
    assert!(
        response
            .headers
            .values()
            .all(|value| within(value.as_bytes()))
    );
}

/// Entries of earlier releases stay readable, and are encoded in the same way while the version is the same.
#[test]
fn golden_files_of_version_1() {
    for (name, entry) in [
        ("response-v1", plain()),
        ("ornate-v1", ornate()),
        ("variants-v1", variants()),
        ("value-v1", value()),
    ] {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.bin"));
        let golden = Bytes::from(std::fs::read(&path).expect(name));
        let read = decode(&golden).expect("readable");
        assert_eq!(shown(&read), shown(&entry), "{name}");
        assert_eq!(
            encoded(&entry),
            golden,
            "{name}: raise the version, keep this file"
        );
    }
}

#[test]
fn a_list_without_sizes_and_times_of_use_is_readable() {
    let mut bytes = encoded(&variants()).to_vec();
    bytes.truncate(bytes.len() - (1 + 8 + 2 + 8));
    let end = u32::try_from(bytes.len()).expect("small");
    bytes[12..16].copy_from_slice(&end.to_be_bytes());
    let read = decode(&resealed(bytes)).expect("readable");
    let Content::Variants(read) = &read.content else {
        panic!("{read:?}");
    };
    assert_eq!(read.iter().count(), 2);
    assert!(
        read.0
            .iter()
            .all(|listed| listed.weight == 0 && listed.used == Timestamp(0))
    );
}

/// A later release may add optional flags and fields.
#[test]
fn optional_data_of_a_later_release_is_skipped() {
    for entry in [plain(), ornate(), variants(), value()] {
        let mut bytes = encoded(&entry).to_vec();
        let body = u32::from_be_bytes(bytes[12..16].try_into().expect("4"));
        let added = b"something new";
        let at = usize::try_from(body).expect("small");
        bytes.splice(at..at, added.iter().copied());
        bytes[12..16].copy_from_slice(&(body + 13).to_be_bytes());
        bytes[10] |= 0x08;
        let read = decode(&resealed(bytes)).expect("readable");
        assert_eq!(shown(&read), shown(&entry));
    }
}

#[test]
fn required_data_of_a_later_release_is_unreadable() {
    for (at, bits) in [(at::VERSION, 3), (9, 0x40), (10, 0x10), (10, 0x80)] {
        let mut bytes = encoded(&plain()).to_vec();
        bytes[at] ^= bits;
        assert_eq!(unreadable(resealed(bytes)), Unreadable::Unknown);
    }
    let mut bytes = encoded(&variants()).to_vec();
    let sizes_and_uses = 1 + 8 + 2 + 8;
    let accept_language = bytes.len() - sizes_and_uses - 35 - 14 - 1;
    assert_eq!(bytes[accept_language], 62);
    bytes[accept_language] = 200;
    assert_eq!(
        unreadable(resealed(bytes)),
        Unreadable::Unknown,
        "a name of a later release"
    );
}

#[test]
fn foreign_values_differ_from_damaged_ones() {
    for foreign in ["", "1", "{\"a\":1}", "TKE", &"x".repeat(1000)] {
        assert_eq!(unreadable(foreign.to_owned().into()), Unreadable::Foreign);
    }
    assert_eq!(unreadable(Bytes::from_static(&MAGIC)), Unreadable::Damaged);
}

/// A length beyond the input must not cause an allocation of that size.
#[test]
fn lengths_beyond_the_input_are_refused() {
    let giant = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let whole = encoded(&plain()).to_vec();
    for at in at::FIXED_END..whole.len() {
        let mut bytes = whole.clone();
        bytes.splice(at..at + 1, giant);
        // Inside a text or value the bytes are no length.
        let _ = decode(&resealed(bytes));
    }
    let mut bytes = whole.clone();
    bytes[12..16].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(unreadable(resealed(bytes)), Unreadable::Damaged);
    let mut bytes = whole;
    bytes[12..16].copy_from_slice(&103_u32.to_be_bytes());
    assert_eq!(unreadable(resealed(bytes)), Unreadable::Damaged);
}

/// More fields than a `HeaderMap` can hold.
#[test]
fn too_many_fields_are_refused() {
    let mut bytes = encoded(&entry(Content::Response(StoredResponse {
        headers: HeaderMap::new(),
        body: Bytes::new(),
        ..response()
    })))
    .to_vec();
    bytes.pop();
    bytes.extend([0xff, 0xff, 0x03]);
    bytes.extend([1, 0].repeat(65535));
    let body = u32::try_from(bytes.len()).expect("small");
    bytes[12..16].copy_from_slice(&body.to_be_bytes());
    assert_eq!(unreadable(resealed(bytes)), Unreadable::Damaged);
}

#[test]
fn truncations_and_flipped_bits_are_detected() {
    let whole = encoded(&ornate());
    for length in 0..whole.len() {
        decode(&whole.slice(..length)).expect_err("truncated");
    }
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        decode(&bytes.into()).expect_err("flipped");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_entry(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes.into()).is_err());
    }

    /// With a correct checksum, arbitrary bytes in head and flags are an entry or an error.
    #[test]
    fn arbitrary_heads_cause_no_panic(
        which in 0_usize..4,
        edits in prop::collection::vec((8_usize..400, any::<u8>()), 1..8),
        keep in 104_usize..400,
    ) {
        let whole = [plain, ornate, variants, value][which]();
        let mut bytes = encode(&whole).expect("small");
        bytes.truncate(keep);
        for (at, byte) in edits {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        if let Ok(entry) = decode(&resealed(bytes)) {
            let again = encoded(&entry);
            let read = decode(&again).expect("a decoded entry can be encoded");
            prop_assert_eq!(shown(&read), shown(&entry));
        }
    }

    #[test]
    fn any_response_round_trips(
        status in 200_u16..1000,
        fields in prop::collection::vec(("[a-z][a-z0-9-]{0,20}", "[ -~]{0,200}"), 0..20),
        body: Vec<u8>,
        user in prop::option::of(".{0,40}"),
        tags in prop::collection::vec(".{0,40}", 0..6),
        numbers: (u64, u64, u64, u64, u32),
    ) {
        let mut response = response();
        prop_assume!(status != 304);
        response.status = StatusCode::from_u16(status).expect("in range");
        response.headers.clear();
        let fields = fields.iter().filter(|(name, _)| !is_checked(name));
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a token");
            response.headers.append(name, HeaderValue::from_str(value).expect("visible"));
        }
        response.body = body.into();
        response.lifetime.fresh = Duration::from_millis(numbers.4.into());
        let entry = Entry {
            position: Position { epoch: numbers.0, n: numbers.1 },
            stored: Timestamp(numbers.2),
            expires: Timestamp(numbers.3),
            user: user.map(Into::into),
            tags: tags.into_iter().map(Into::into).collect(),
            ..entry(Content::Response(response))
        };
        let back = decode(&encoded(&entry)).expect("readable");
        prop_assert_eq!(shown(&back), shown(&entry));
    }
}

/// Whether a reader accepts only some values of a field.
fn is_checked(name: &str) -> bool {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a token");
    name == "content-length" || is_hop_by_hop(&name)
}

/// Regression: a value that was copied to another key was served there.
#[test]
fn an_entry_is_bound_to_its_key() {
    let unreadable_at = |namespace: &str, key: &str| {
        let key = KeyHash::of(namespace, key);
        let context = ReadContext { key, ..context() };
        for entry in [plain(), ornate(), variants(), value()] {
            let read = super::decode(&encoded(&entry), &context);
            assert_eq!(read.expect_err("another key"), Unreadable::Misplaced);
        }
    };
    unreadable_at("", "engagement:43");
    unreadable_at("", "engagement:42@bob");
    unreadable_at("test:", "engagement:42");
    assert_eq!(
        KeyHash::of("a:", "b"),
        KeyHash::of("", "a:b"),
        "one key in Redis"
    );
}

/// Regression: forged times outlived `[ttl] max`.
#[test]
fn times_are_cut_to_the_bounds_of_the_reader() {
    let now = Timestamp(1_700_000_100_000);
    let context = ReadContext {
        now,
        max_ttl: Duration::from_secs(60),
        ..context()
    };
    let long = Duration::from_secs(1 << 40);
    for mut entry in [plain(), value(), variants()] {
        entry.expires = Timestamp(u64::MAX);
        match &mut entry.content {
            Content::Response(StoredResponse { lifetime, .. })
            | Content::Value(StoredValue { lifetime, .. }) => {
                lifetime.fresh = long;
                lifetime.stale_while_revalidate = long;
                lifetime.stale_if_error = long;
            }
            Content::Variants(_) => {}
        }
        let read = super::decode(&encoded(&entry), &context).expect("readable");
        assert_eq!(read.expires, entry.stored.after(context.max_ttl));
        let (Content::Response(StoredResponse { lifetime, .. })
        | Content::Value(StoredValue { lifetime, .. })) = &read.content
        else {
            continue;
        };
        let Lifetime {
            fresh,
            stale_while_revalidate,
            stale_if_error,
            ..
        } = lifetime;
        for time in [fresh, stale_while_revalidate, stale_if_error] {
            assert_eq!(*time, context.max_ttl);
        }
    }
    for (ahead, is_readable) in [(0, true), (10, true), (11, false), (1 << 50, false)] {
        let stored = now.after(Duration::from_secs(ahead));
        let entry = Entry { stored, ..plain() };
        let read = super::decode(&encoded(&entry), &context);
        assert_eq!(read.is_ok(), is_readable, "{ahead} seconds ahead");
    }
}

/// A response whose fields contradict its body would break the framing of the client's connection.
#[test]
fn responses_that_no_process_stores_are_misses() {
    type Change = fn(&mut StoredResponse);
    let changes: [Change; 9] = [
        |response| response.status = StatusCode::CONTINUE,
        |response| response.status = StatusCode::NOT_MODIFIED,
        |response| response.body = Bytes::from_static(b"another length."),
        |response| append(response, "content-length", "15"),
        |response| append(response, "transfer-encoding", "chunked"),
        |response| append(response, "connection", "close"),
        |response| part(response, u64::MAX, None),
        |response| part(response, 100, Some(113)),
        |response| response.body = vec![b'x'; 1025].into(),
    ];
    let context = ReadContext {
        max_body: 1024,
        ..context()
    };
    let read = |response| super::decode(&encoded(&entry(Content::Response(response))), &context);
    read(response()).expect("readable");
    for (i, change) in changes.iter().enumerate() {
        let mut changed = response();
        change(&mut changed);
        if i == 8 {
            changed.headers.remove("content-length");
        }
        let reason = read(changed).expect_err("a miss");
        assert_eq!(reason, Unreadable::Implausible, "change {i}");
    }
}

fn append(response: &mut StoredResponse, name: &'static str, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers.append(name, value);
}

fn part(response: &mut StoredResponse, first: u64, complete: Option<u64>) {
    response.part = Some(Part { first, complete });
}

#[test]
fn entries_that_no_reader_accepts_are_not_encoded() {
    let many_tags = Entry {
        tags: vec!["t".into(); 1025].into(),
        ..plain()
    };
    let variant = Variant {
        fields: Box::default(),
        hash: "0".into(),
        by_language: None,
    };
    let many_variants = entry(Content::Variants(Variants::of(vec![variant; 257])));
    for entry in [many_tags, many_variants] {
        assert!(encode(&entry).is_none());
    }
}
