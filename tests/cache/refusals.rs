//! Responses that are about one request, and parts that claim more than they contain.

use std::future::ready;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower_keep::{Route, Scope, Table, table::mins};

use crate::common::{
    client::{get, request, send},
    keeps::{engagements_with, new_keep},
    origin::{Origin, OriginBody, cached, full, ok, response},
};

const LASTING: (&str, &str) = ("cache-control", "max-age=60");

/// Regression: the refusal of one client's odd request was stored for all, and a reload replaced the
/// page by it.
#[tokio::test]
async fn the_refusal_of_a_request_is_neither_stored_nor_replaces_a_response() {
    for status in [
        400, 406, 408, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 505,
    ] {
        for is_listed in [true, false] {
            let table = match is_listed {
                true => engagements_with(|route| route),
                false => Table::new(),
            };
            let origin = Origin::new(move |parts, _| match parts.headers.contains_key("x-odd") {
                true => response(status, &[LASTING], "refused"),
                false => response(200, &[LASTING], "page"),
            });
            let service = cached(&new_keep(table), &origin);
            let odd = |fields: &[(&str, &str)]| {
                let fields = [fields, &[("x-odd", "1")]].concat();
                request("GET", "/engagements/1", &fields)
            };
            let refused = send(&service, odd(&[])).await;
            assert_eq!(refused.status, status);
            assert!(
                refused.cache_status().ends_with("detail=status"),
                "{refused:?}"
            );
            assert_eq!(send(&service, get("/engagements/1")).await.body, "page");
            let reload = odd(&[("cache-control", "no-cache")]);
            assert_eq!(send(&service, reload).await.status, status);
            let next = send(&service, get("/engagements/1")).await;
            assert_eq!(next.body, "page", "{status}");
            assert!(next.cache_status().contains("hit"), "{status}: {next:?}");
        }
    }
}

/// Regression: without `negative`, a permanent redirection was fresh for the entity's TTL.
#[tokio::test]
async fn a_redirection_is_stored_only_if_the_table_or_the_response_says_how_long() {
    use http::StatusCode;
    use tower_keep::table::secs;

    for code in [301, 308] {
        let status = StatusCode::from_u16(code).expect("a status");
        for (fields, has_negative, stored) in [
            (&[("location", "/b")][..], false, false),
            (&[("location", "/b")], true, true),
            (&[("location", "/b"), LASTING], false, true),
        ] {
            let table = engagements_with(|route| match has_negative {
                true => route.negative(status, secs(10)),
                false => route,
            });
            let origin = Origin::new(move |_, _| response(code, fields, ""));
            let service = cached(&new_keep(table), &origin);
            send(&service, get("/engagements/1")).await;
            send(&service, get("/engagements/1")).await;
            assert_eq!(origin.calls() == 1, stored, "{code} {fields:?}");
        }
    }
}

/// A body without a known length.
fn chunked(content: &'static str) -> OriginBody {
    let chunk = [Ok(Frame::data(Bytes::from(content)))];
    StreamBody::new(stream::iter(chunk)).boxed_unsync()
}

/// Regression: the five bytes were stored as the whole of ten.
#[tokio::test]
async fn a_short_part_is_never_stored_as_the_whole() {
    let origin = Origin::from_fn(|request, _| {
        let fields = [LASTING, ("etag", "\"one\"")];
        ready(Ok(match request.headers().contains_key("range") {
            false => ok(full("0123456789"), &fields),
            true => {
                let range = [("content-range", "bytes 0-9/10")];
                let mut part = ok(chunked("01234"), &[&fields[..], &range].concat());
                *part.status_mut() = http::StatusCode::PARTIAL_CONTENT;
                part
            }
        }))
    });
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, request("GET", "/a", &[("range", "bytes=0-9")])).await;
    let whole = send(&service, get("/a")).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
}

/// Regression: the length that the short part claimed was taken for that of the whole.
#[tokio::test]
async fn a_short_part_does_not_complete_another() {
    let origin = Origin::from_fn(|request, _| {
        let fields = [LASTING, ("etag", "\"one\"")];
        let part = |range, content| {
            let range = [("content-range", range)];
            let mut part = ok(chunked(content), &[&fields[..], &range].concat());
            *part.status_mut() = http::StatusCode::PARTIAL_CONTENT;
            part
        };
        let range = request.headers().get("range");
        let range = range.map(|range| range.to_str().expect("text"));
        ready(Ok::<Response<OriginBody>, _>(match range {
            None => ok(full("0123456789"), &fields),
            Some("bytes=0-3") => part("bytes 0-3/*", "0123"),
            Some(_) => part("bytes 4-9/10", "45678"),
        }))
    });
    for ranges in [["bytes=0-3", "bytes=4-"], ["bytes=4-", "bytes=0-3"]] {
        let service = cached(&new_keep(Table::new()), &origin);
        for range in ranges {
            send(&service, request("GET", "/a", &[("range", range)])).await;
        }
        let whole = send(&service, get("/a")).await;
        assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
    }
}

/// Any client could send `no-cache` at the moment of an error, and so replace a good response for all.
#[tokio::test(start_paused = true)]
async fn an_error_in_reply_to_no_cache_does_not_replace_a_fresh_response() {
    for status in [401, 403, 500, 503] {
        let route = Route::new("/engagements/{id}")
            .key("engagement:{id}")
            .scope(Scope::Public)
            .negative(StatusCode::from_u16(status).expect("a status"), mins(1));
        let origin = Origin::new(move |_, call| match call {
            2 => response(status, &[], "an error"),
            _ => response(200, &[], "good"),
        });
        let service = cached(&new_keep(Table::new().route(route)), &origin);
        send(&service, get("/engagements/1")).await;
        let reload = request("GET", "/engagements/1", &[("cache-control", "no-cache")]);
        let failed = send(&service, reload).await;
        assert_eq!(failed.status, status);
        assert!(
            !failed.cache_status().contains("stored"),
            "{}",
            failed.cache_status()
        );
        let next = send(&service, get("/engagements/1")).await;
        assert_eq!((next.status, &*next.body), (200, "good"));
    }
}
