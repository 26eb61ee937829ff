//! Storing a response's body while it is sent to the client.
//!
//! Once the response may be stored, its body is read independently of its client: a slow or absent
//! reader does not delay others. A body that is available at once is stored within the request; the
//! rest of any other body is read by a spawned task.
//!
//! What has been read and not yet taken by the client counts towards `[local] fill_buffer`. A body for
//! which that has no room is not stored, and is read no faster than its client takes it. The same holds
//! for a body that takes room while nothing of it arrives.

use std::{
    collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::timeout;
use tracing::Instrument;

use super::{context::FillLeader, pending_entry::PendingEntry};
use crate::{
    engine::fill::{Fill, StoredMark},
    message::{
        buffer_budget::{BufferPermit, UNCOUNTED},
        http_service::ServiceBody,
        response_body::ResponseBody,
        shared_buffer::{self, BodyEnd, BodyWriter, Overflow},
    },
    semantics::storable::Refusal,
    store::entry::Entry,
};

/// How long a body without a reader is read on; one that is too large to be stored is dropped at
/// once.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a body that takes room is kept for storing while nothing of it arrives.
const STALLED_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is being stored.
pub(super) struct StreamedBody<B> {
    /// The client's body.
    pub(super) body: ResponseBody<B>,
    /// The stored entry, if the body was available at once.
    pub(super) entry: Option<Arc<Entry>>,
    /// Whether the response is stored, or is known to be once the rest of its body has arrived.
    pub(super) is_stored: bool,
    /// Given if it is not yet known whether the response will be stored; the mark is set once it is.
    pub(super) mark: Option<StoredMark>,
    /// The word for `detail` of `Cache-Status`.
    pub(super) detail: Option<&'static str>,
}

/// Starts to store `body`.
///
/// If a stale response can replace a body that breaks off, `waits_for_body` holds the head back
/// until the first piece of the body, or its end, arrives.
///
/// # Errors
///
/// If the body fails before the head is sent: the chunks received, then the error.
pub(super) async fn start<B: ServiceBody>(
    pending: PendingEntry,
    body: B,
    mut leader: Option<FillLeader>,
    waits_for_body: bool,
) -> Result<StreamedBody<B>, ResponseBody<B>> {
    let mut body = Box::pin(body);
    let prefix = match read_available(body.as_mut(), &pending, waits_for_body).await {
        Ok(prefix) => prefix,
        Err((chunks, error)) => {
            pending.report_failure("the body broke off");
            end(leader);
            return Err(ResponseBody::failed(chunks, error.into()));
        }
    };
    if prefix.lacks_room {
        pending.refuse_without_room(&mut leader);
        return Ok(StreamedBody {
            body: prefix.into_body(body),
            entry: None,
            is_stored: false,
            mark: None,
            detail: Some("busy"),
        });
    }
    if prefix.has_ended && prefix.bytes <= pending.max_body {
        let trailers = prefix.trailers.clone();
        let stored = pending
            .store(&prefix.chunks, trailers, leader.as_ref())
            .await;
        let refusal = stored.as_ref().err().copied().flatten();
        if refusal.is_some_and(Refusal::is_lasting) {
            pending.refuse(&mut leader).await;
        }
        end(leader);
        let stored = stored.ok();
        return Ok(StreamedBody {
            body: prefix.into_body(body),
            is_stored: stored.as_ref().is_some_and(|stored| stored.is_kept),
            entry: stored.map(|stored| stored.entry),
            mark: None,
            detail: refusal.map(Refusal::reason),
        });
    }
    let is_stored = prefix.bytes <= pending.max_body && pending.will_be_stored();
    Ok(StreamedBody {
        is_stored,
        mark: (!is_stored).then(|| pending.stored.clone()),
        body: stream_rest(pending, body, prefix, &mut leader).await,
        entry: None,
        detail: None,
    })
}

/// The part of a body that was available without waiting.
#[derive(Default)]
struct BodyPrefix {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    bytes: usize,
    has_ended: bool,
    /// Counts `chunks`.
    permit: BufferPermit,
    /// Whether the budget has no room for the body.
    lacks_room: bool,
}

impl BodyPrefix {
    fn add(&mut self, frame: Frame<Bytes>, pending: &PendingEntry) {
        match frame.into_data() {
            // Dropped: empty chunks would take memory without counting towards `max_body`.
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                self.bytes += chunk.len();
                self.chunks.push_back(chunk);
            }
            Err(frame) => self.trailers = trailers(frame, pending),
        }
        self.lacks_room |= !self.permit.try_grow_to(self.bytes.min(pending.max_body));
    }

    /// The client's body: the part that was read, then the rest.
    fn into_body<B>(self, rest: Pin<Box<B>>) -> ResponseBody<B> {
        if self.has_ended {
            return ResponseBody::buffered(self.chunks, self.trailers, self.permit);
        }
        ResponseBody::resumed(self.chunks, self.permit, rest)
    }
}

/// Makes room for a body of known length at once, so that it need not be given up in the middle. For
/// any other body, there has to be some room.
fn make_room<B: ServiceBody>(body: &B, pending: &PendingEntry, permit: &mut BufferPermit) -> bool {
    let exact = body.size_hint().exact();
    let length = pending.length.max(exact).map(usize::try_from);
    let Some(length) = length else {
        let has_room = permit.try_grow_to((UNCOUNTED + 1).min(pending.max_body));
        permit.shrink_to(0);
        return has_room;
    };
    permit.try_grow_to(length.unwrap_or(usize::MAX).min(pending.max_body))
}

/// Reads until the body ends, has no frame ready, is too large to be stored, or has no room in memory.
async fn read_available<B: ServiceBody>(
    mut body: Pin<&mut B>,
    pending: &PendingEntry,
    waits_for_body: bool,
) -> Result<BodyPrefix, (VecDeque<Bytes>, B::Error)> {
    let mut permit = pending.engine().buffers.permit();
    let has_ended = body.is_end_stream();
    let mut prefix = BodyPrefix {
        has_ended,
        lacks_room: !has_ended && !make_room(&*body, pending, &mut permit),
        permit,
        ..BodyPrefix::default()
    };
    while !prefix.has_ended
        && prefix.bytes <= pending.max_body
        && prefix.chunks.len() <= shared_buffer::max_chunks(pending.max_body)
    {
        let waits = waits_for_body && prefix.bytes == 0;
        if prefix.lacks_room && !waits {
            break;
        }
        let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending if waits => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        match next.await {
            None => break,
            Some(None) => prefix.has_ended = true,
            Some(Some(Err(error))) => return Err((prefix.chunks, error)),
            Some(Some(Ok(frame))) => {
                prefix.add(frame, pending);
                prefix.has_ended = body.is_end_stream();
            }
        }
    }
    Ok(prefix)
}

/// Shares the body with followers, and reads its rest in a spawned task.
async fn stream_rest<B: ServiceBody>(
    pending: PendingEntry,
    body: Pin<Box<B>>,
    prefix: BodyPrefix,
    leader: &mut Option<FillLeader>,
) -> ResponseBody<B> {
    let (writer, shared) = shared_buffer::channel(pending.max_body, pending.length, prefix.permit);
    let reader = shared.reader();
    let mut overflow = None;
    for chunk in prefix.chunks {
        overflow = writer.push(chunk);
    }
    if let Some(overflow) = overflow {
        refuse(&pending, overflow, leader).await;
    } else if let Some(leader) = leader
        && pending.is_shareable()
    {
        leader.share(Arc::new(Fill {
            head: Arc::clone(&pending.head),
            variant: pending.variant.clone(),
            body: shared,
        }));
    }
    if prefix.has_ended {
        writer.finish(BodyEnd::Complete(prefix.trailers));
    } else {
        let copy = copy_rest(pending, body, writer, leader.take());
        tokio::spawn(copy.in_current_span());
    }
    reader.map_or_else(|_| ResponseBody::empty(), ResponseBody::shared)
}

/// Copies the rest of `body` into `writer`, and stores it if it arrives whole.
async fn copy_rest<B: ServiceBody>(
    pending: PendingEntry,
    mut body: Pin<Box<B>>,
    writer: BodyWriter,
    mut leader: Option<FillLeader>,
) {
    let end_of_body = tokio::select! {
        end = copy_frames(body.as_mut(), &writer, &pending, &mut leader) => end,
        () = wait_until_unread(&writer) => None,
    };
    let trailers = match end_of_body {
        Some(BodyEnd::Complete(trailers)) => trailers,
        Some(failed) => {
            pending.report_failure("the body broke off");
            end(leader);
            return writer.finish(failed);
        }
        None => {
            return pending.report_failure("the body has no readers, and is too large or too slow");
        }
    };
    // Stored before its readers see the end: a client that has read the whole response can rely
    // on finding it stored.
    if let Some(chunks) = writer.whole() {
        let stored = pending
            .store(&chunks, trailers.clone(), leader.as_ref())
            .await;
        if let Err(Some(refusal)) = stored
            && refusal.is_lasting()
        {
            pending.refuse(&mut leader).await;
        }
    }
    end(leader);
    writer.finish(BodyEnd::Complete(trailers));
}

/// Returns `None` if the body no longer has readers and cannot be stored.
async fn copy_frames<B: ServiceBody>(
    mut body: Pin<&mut B>,
    writer: &BodyWriter,
    pending: &PendingEntry,
    leader: &mut Option<FillLeader>,
) -> Option<BodyEnd> {
    let mut all_trailers = None;
    let mut is_kept = true;
    while writer.ready().await {
        let next = next_frame(body.as_mut());
        let next = match is_kept {
            true => timeout(STALLED_TIMEOUT, next).await,
            false => Ok(next.await),
        };
        let Ok(next) = next else {
            if writer.stop_keeping() {
                is_kept = false;
                refuse(pending, Overflow::NoRoom, leader).await;
            }
            continue;
        };
        let frame = match next {
            None => return Some(BodyEnd::Complete(all_trailers)),
            Some(Err(error)) => return Some(BodyEnd::Failed(error)),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                if let Some(overflow) = writer.push(chunk)
                    && is_kept
                {
                    is_kept = false;
                    refuse(pending, overflow, leader).await;
                }
            }
            Err(frame) => all_trailers = trailers(frame, pending),
        }
    }
    None
}

/// The next frame, or the text of the error: the error itself may not be held across an await.
async fn next_frame<B: ServiceBody>(mut body: Pin<&mut B>) -> Option<Result<Frame<Bytes>, String>> {
    let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await?;
    Some(frame.map_err(|error| error.into().to_string()))
}

async fn refuse(pending: &PendingEntry, overflow: Overflow, leader: &mut Option<FillLeader>) {
    match overflow {
        Overflow::TooLarge => pending.refuse(leader).await,
        Overflow::NoRoom => pending.refuse_without_room(leader),
    }
}

fn trailers(frame: Frame<Bytes>, pending: &PendingEntry) -> Option<HeaderMap> {
    pending.trailers(frame.into_trailers().ok()?)
}

/// Waits until the body has had no reader for a while.
async fn wait_until_unread(writer: &BodyWriter) {
    loop {
        writer.wait_until_abandoned().await;
        tokio::time::sleep(UNREAD_TIMEOUT).await;
        if writer.is_abandoned() {
            return;
        }
    }
}

fn end(leader: Option<FillLeader>) {
    if let Some(leader) = leader {
        leader.end();
    }
}
