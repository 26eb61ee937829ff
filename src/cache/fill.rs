//! Storing a response while it is sent on.
//!
//! From a storable head on, the fill does not depend on the client that asked: a slow or vanished
//! reader stalls nobody. What is there at once (a body that a handler holds whole) is stored within
//! the request; what is still to come is read by a task of its own.

use std::{
    collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tracing::Instrument;

use super::{
    miss::{self, Leading},
    recipe::Recipe,
};
use crate::{
    engine::fill::Fill,
    error::BoxError,
    message::{
        response_body::ResponseBody,
        shared_buffer::{self, BodyEnd, BodyWriter},
    },
    store::entry::Entry,
};

/// How long a fill goes on that nobody reads any more.
const ABANDONED: Duration = Duration::from_secs(30);

/// What of a body came without waiting.
struct Prefix {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    bytes: usize,
    ended: bool,
}

/// A body that is being stored.
pub(super) struct Started<B> {
    /// For who asked.
    pub(super) body: ResponseBody<B>,
    /// What has been stored already: a body that was there at once.
    pub(super) entry: Option<Arc<Entry>>,
    ended: bool,
}

impl<B> Started<B> {
    /// Whether it is stored, or will be if the rest of it comes.
    pub(super) fn is_stored(&self) -> bool {
        self.entry.is_some() || !self.ended
    }
}

/// Stores `body` as it comes. `Err`: it broke off at once, and this is what there is of it.
///
/// Once the head has gone to the client nothing can take the place of a body that breaks off. With
/// `waits`, there is something that could: then the head stays here until there is something of the
/// body, or its end.
pub(super) async fn start<B>(
    recipe: Recipe,
    body: B,
    mut lead: Leading,
    waits: bool,
) -> Result<Started<B>, ResponseBody<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut body = Box::pin(body);
    let prefix = match at_once(body.as_mut(), &recipe, waits).await {
        Ok(prefix) => prefix,
        Err((chunks, error)) => {
            recipe.failed("the body was cut short");
            miss::end(&mut lead);
            return Err(ResponseBody::failed(chunks, error.into()));
        }
    };
    if prefix.ended && prefix.bytes <= recipe.cap {
        let trailers = prefix.trailers.clone();
        let entry = recipe.complete(&prefix.chunks, trailers, &lead).await;
        miss::end(&mut lead);
        return Ok(Started {
            body: ResponseBody::chunks(prefix.chunks, prefix.trailers),
            entry,
            ended: true,
        });
    }
    Ok(Started {
        body: stream(recipe, body, prefix, lead),
        entry: None,
        ended: false,
    })
}

/// Reads the rest in a task of its own.
fn stream<B>(
    recipe: Recipe,
    body: Pin<Box<B>>,
    prefix: Prefix,
    mut lead: Leading,
) -> ResponseBody<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (writer, source) = shared_buffer::channel(recipe.cap, recipe.length);
    let reader = source.reader();
    let held = prefix
        .chunks
        .into_iter()
        .fold(true, |_, chunk| writer.push(chunk));
    if !held {
        recipe.too_large(&mut lead);
    } else if let Some(lead) = &lead
        && recipe.is_shareable()
    {
        lead.share(Arc::new(Fill {
            head: Arc::clone(&recipe.storable.head),
            variant: recipe.storable.variant.clone(),
            body: source,
        }));
    }
    if prefix.ended {
        writer.finish(BodyEnd::Complete(prefix.trailers));
    } else {
        tokio::spawn(pump(recipe, body, writer, lead).in_current_span());
    }
    reader.map_or_else(ResponseBody::empty, ResponseBody::shared)
}

/// Reads until the body ends, must be waited for, or is too large to be stored. With `waits`, the
/// first piece is waited for.
async fn at_once<B>(
    mut body: Pin<&mut B>,
    recipe: &Recipe,
    waits: bool,
) -> Result<Prefix, (VecDeque<Bytes>, B::Error)>
where
    B: Body<Data = Bytes>,
{
    let mut prefix = Prefix {
        chunks: VecDeque::new(),
        trailers: None,
        bytes: 0,
        ended: body.is_end_stream(),
    };
    while !prefix.ended
        && prefix.bytes <= recipe.cap
        && prefix.chunks.len() <= shared_buffer::max_chunks(recipe.cap)
    {
        let waits = waits && prefix.bytes == 0;
        let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending if waits => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        match next.await {
            None => break,
            Some(None) => prefix.ended = true,
            Some(Some(Err(error))) => return Err((prefix.chunks, error)),
            Some(Some(Ok(frame))) => {
                prefix.add(frame, recipe);
                prefix.ended = body.is_end_stream();
            }
        }
    }
    Ok(prefix)
}

impl Prefix {
    fn add(&mut self, frame: Frame<Bytes>, recipe: &Recipe) {
        match frame.into_data() {
            // Of no use, and an endless row of them would never reach the cap.
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                self.bytes += chunk.len();
                self.chunks.push_back(chunk);
            }
            Err(frame) => self.trailers = trailers_of(frame, recipe),
        }
    }
}

fn trailers_of(frame: Frame<Bytes>, recipe: &Recipe) -> Option<HeaderMap> {
    recipe.trailers(frame.into_trailers().ok()?)
}

/// Reads the rest of `body` into `writer`, and stores it if it came whole.
async fn pump<B>(recipe: Recipe, mut body: Pin<Box<B>>, writer: BodyWriter, mut lead: Leading)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let end = tokio::select! {
        end = read(body.as_mut(), &writer, &recipe, &mut lead) => end,
        () = unread(&writer) => None,
    };
    let trailers = match end {
        Some(BodyEnd::Complete(trailers)) => trailers,
        Some(failed) => {
            recipe.failed("the body was cut short");
            miss::end(&mut lead);
            return writer.finish(failed);
        }
        // Nobody reads it any more, and it is too large or too slow to go on with.
        None => return recipe.failed("the body was given up"),
    };
    // Stored before its readers see the end: who has read an answer whole finds it stored.
    if let Some(chunks) = writer.whole() {
        recipe.complete(&chunks, trailers.clone(), &lead).await;
    }
    miss::end(&mut lead);
    writer.finish(BodyEnd::Complete(trailers));
}

async fn read<B>(
    mut body: Pin<&mut B>,
    writer: &BodyWriter,
    recipe: &Recipe,
    lead: &mut Leading,
) -> Option<BodyEnd>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut trailers = None;
    let mut held = true;
    while writer.ready().await {
        let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Some(BodyEnd::Complete(trailers)),
            Some(Err(error)) => return Some(BodyEnd::Failed(error.into().to_string())),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                if !writer.push(chunk) && held {
                    held = false;
                    recipe.too_large(lead);
                }
            }
            Err(frame) => trailers = trailers_of(frame, recipe),
        }
    }
    None
}

/// Until nobody has read for a while.
async fn unread(writer: &BodyWriter) {
    loop {
        writer.abandoned().await;
        tokio::time::sleep(ABANDONED).await;
        if writer.is_abandoned() {
            return;
        }
    }
}
