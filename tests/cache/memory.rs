//! Memory needed for bodies in transit and for stored responses.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    CacheLayer, Keep,
    message::{RequestBody, ResponseBody},
    table::Local,
};

use crate::common::{
    client::{get, send},
    generated_body::GeneratedBody,
    keeps::{engagements, new_keep},
    origin::{Origin, cached},
};

/// The default of a route.
const CAP: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// The peak allocation while a client reads 1 GiB and yields `linger` times after every chunk.
fn peak(says_length: bool, linger: usize) -> u64 {
    let runtime = runtime();
    let service = CacheLayer::new(&new_keep(engagements())).layer(service_fn(
        move |_: Request<Full<Bytes>>| async move {
            let body = GeneratedBody::new(GIB, says_length, Arc::default());
            Ok::<_, Infallible>(Response::new(body))
        },
    ));
    let info = measure(|| {
        runtime.block_on(async {
            let response = service.oneshot(get("/engagements/1")).await;
            let body = response.expect("a response").into_body();
            assert_eq!(length(body, linger).await, GIB);
        });
    });
    info.bytes_max
}

async fn length(body: ResponseBody<GeneratedBody>, linger: usize) -> u64 {
    let mut body = pin!(body);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.expect("no error").into_data().expect("data").len() as u64;
        for _ in 0..linger {
            yield_now().await;
        }
    }
    length
}

#[test]
fn a_body_of_one_gibibyte_needs_less_memory_than_twice_the_cap() {
    for (says_length, linger) in [(true, 0), (false, 0), (false, 2)] {
        let peak = peak(says_length, linger);
        assert!(peak < 2 * CAP, "{peak} bytes at a time");
    }
}

/// A body in frames of one byte that yields from time to time.
struct TinyFrames {
    left: u64,
    pauses: bool,
}

impl Body for TinyFrames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        if self.pauses && self.left.is_multiple_of(64) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// The peak allocation of a request with the first body, answered with the second.
fn peak_with_tiny_frames(method: &str, request: u64, response_length: u64, pauses: bool) -> u64 {
    let runtime = runtime();
    let service = CacheLayer::new(&new_keep(engagements())).layer(service_fn(
        move |request: Request<RequestBody<TinyFrames>>| async move {
            request.into_body().collect().await.expect("content");
            Ok::<_, Infallible>(Response::new(TinyFrames {
                left: response_length,
                pauses,
            }))
        },
    ));
    let tiny_frames = TinyFrames {
        left: request,
        pauses,
    };
    // QUERY is stored for unlisted paths only.
    let path = ["/engagements/1", "/a"][usize::from(method == "QUERY")];
    let request = Request::builder().method(method).uri(path);
    let request = request
        .body(RequestBody::new(tiny_frames))
        .expect("a request");
    let info = measure(|| {
        runtime.block_on(async {
            let response = service.oneshot(request).await.expect("a response");
            let mut body = pin!(response.into_body());
            while let Some(frame) = body.frame().await {
                frame.expect("no error");
            }
        });
    });
    info.bytes_max
}

/// Regression: frames of one byte needed a hundred times the memory that was counted.
#[test]
fn a_body_in_tiny_chunks_needs_no_more_memory_than_one_in_large_chunks() {
    for pauses in [false, true] {
        // The content of a QUERY, which is part of its key, and a body that is stored.
        for (method, request, response) in [("QUERY", CAP, 0), ("GET", 0, CAP)] {
            let peak = peak_with_tiny_frames(method, request, response, pauses);
            assert!(peak < 8 * CAP, "{method}: {peak} bytes at a time");
        }
    }
}

/// The memory of a keep whose local tier is full of these responses, each requested three times.
fn memory_of_full_tier(size: u64, fields: usize, body: usize) -> u64 {
    let runtime = runtime();
    let origin = Origin::new(move |_, _| {
        let mut response = Response::new(Full::from(vec![b'x'; body]));
        for field in 0..fields {
            let name = http::HeaderName::try_from(format!("x-field-{field}")).expect("a name");
            let value = format!("value of the field {field}");
            let value = value.try_into().expect("a value");
            response.headers_mut().insert(name, value);
        }
        response
    });
    let fill = async |keep: &Keep| {
        let service = cached(keep, &origin);
        let each = 1024 + body as u64;
        for id in 0..size / each * 2 {
            for _ in 0..3 {
                send(&service, get(&format!("/engagements/{id}"))).await;
            }
        }
        // More than the tier holds.
        let first = send(&service, get("/engagements/0")).await;
        assert!(!first.cache_status().contains("hit"));
    };
    let mut keep = None;
    let info = measure(|| {
        let table = engagements().local(Local::new().size(size));
        runtime.block_on(fill(keep.insert(new_keep(table))));
    });
    u64::try_from(info.bytes_current).expect("memory is in use")
}

#[test]
fn the_local_tier_needs_no_more_memory_than_its_size() {
    const SIZE: u64 = 1 << 20;
    for (fields, body) in [(0, 0), (2, 16), (8, 1024), (40, 200), (8, 16 << 10)] {
        let empty = memory_of_empty_tier(SIZE);
        let taken = memory_of_full_tier(SIZE, fields, body) - empty;
        assert!(
            taken <= SIZE,
            "{taken} bytes of {SIZE}: {fields} fields, {body}"
        );
    }
}

fn memory_of_empty_tier(size: u64) -> u64 {
    let mut keep = None;
    let info = measure(|| {
        keep = Some(new_keep(engagements().local(Local::new().size(size))));
    });
    u64::try_from(info.bytes_current).expect("memory is in use")
}
