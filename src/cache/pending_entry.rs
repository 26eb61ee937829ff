//! A response that will be stored once its body is complete.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::{
    cache_request::CacheRequest, config::Config, context::FillLeader, origin_response::OriginHead,
    query_rule, storable_head::StorableHead, tags,
};
use crate::{
    engine::{
        core::Engine,
        fill::{Fill, concatenate},
    },
    fence::{
        capture::Capture,
        entry_names::{EntryNames, target_hashes},
    },
    key::purge::PurgeTarget,
    message::client_request::ClientRequest,
    message::media_type::is_json,
    semantics::{
        fields::FieldFilter,
        partial::{self, PartContent},
        storable::Refusal,
        stored::{StoredResponse, Variant},
    },
    store::entry::{Content, Entry},
};

/// The head of a response that may be stored, and how it becomes an entry.
pub(super) struct PendingEntry {
    config: Arc<Config>,
    /// With the key under which the response is stored.
    request: CacheRequest,
    original: Arc<ClientRequest>,
    pub(super) storable: StorableHead,
    capture: Capture,
}

impl PendingEntry {
    /// # Errors
    ///
    /// Why the response must not be stored.
    pub(super) fn new(
        config: &Arc<Config>,
        request: &CacheRequest,
        head: &OriginHead,
    ) -> Result<Self, Refusal> {
        let storable = StorableHead::new(config, request, head)?;
        let mut request = request.clone();
        let (original, headers) = (&head.original, &head.parts.headers);
        query_rule::settle_key(config.engine(), &mut request, original, headers);
        Ok(Self {
            config: Arc::clone(config),
            request,
            original: Arc::clone(original),
            storable,
            capture: head.capture,
        })
    }

    fn engine(&self) -> &Engine {
        self.config.engine()
    }

    /// Invalidates what a write has changed, and moves this entry, which holds the write's own
    /// response, to the position of that invalidation.
    ///
    /// Returns false if another write may have come between: then nothing must be stored.
    pub(super) async fn invalidate(&mut self, targets: Vec<PurgeTarget>) -> bool {
        let head = &self.storable.head;
        let key = self.request.key.base();
        let hashes = &target_hashes(key, &head.entity, head.user.as_deref(), &head.tags);
        let names = EntryNames { key, hashes };
        // If the journal fails, the invalidation is queued, and nothing that it names is stored
        // until it is appended.
        let fence = &self.config.engine().fence;
        let appended = fence.write_through(&self.capture, targets, names).await;
        match (appended, Arc::get_mut(&mut self.storable.head)) {
            (Ok(Some(position)), Some(head)) => {
                head.position = position;
                // The time of the capture stays: the response is as old as the call.
                self.capture.position = position;
                true
            }
            _ => false,
        }
    }

    /// Whether other requests may have the response before it is complete. The fence cannot check
    /// it while its tags are unknown, and a part answers only the requests for that range.
    pub(super) fn is_shareable(&self) -> bool {
        let is_part = |head: &StoredResponse| head.status == StatusCode::PARTIAL_CONTENT;
        !self.request.tags_need_content()
            && self
                .storable
                .head
                .response()
                .is_some_and(|head| !is_part(head))
    }

    /// Stores the response with its whole body, and shares it with the leader's followers.
    pub(super) async fn store<'a>(
        &self,
        chunks: impl IntoIterator<Item = &'a Bytes, IntoIter: Clone>,
        trailers: Option<HeaderMap>,
        leader: Option<&FillLeader>,
    ) -> Option<Arc<Entry>> {
        let body = concatenate(chunks.into_iter());
        if self
            .storable
            .length
            .is_some_and(|length| length != body.len() as u64)
        {
            self.failed("the body is not as long as its Content-Length says");
            return None;
        }
        let entry = Arc::new(self.entry(body, trailers)?);
        let (engine, key) = (self.engine(), &self.request.key);
        if !engine.may_store(&self.capture, &entry, key.base()) {
            return None;
        }
        engine.uncacheable.remove(key.as_str());
        let variant = self.storable.variant.as_ref();
        engine.tiers.store_response(key, variant, &entry).await;
        share_entry(leader, &entry, variant);
        Some(entry)
    }

    fn entry(&self, body: Bytes, trailers: Option<HeaderMap>) -> Option<Entry> {
        let tags = self.tags(&body)?;
        let mut entry = self.storable.head.with_body(body, trailers)?;
        entry.tags = tags;
        entry.local.captured = self.capture.at;
        if let Content::Response(response) = &mut entry.content
            && response.status == StatusCode::PARTIAL_CONTENT
        {
            self.make_part(response)?;
        }
        Some(entry)
    }

    /// All tags of the response. `None` if one that names a field of the content is missing.
    fn tags(&self, body: &Bytes) -> Option<Box<[Box<str>]>> {
        let known = &self.storable.head.tags;
        if !self.request.tags_need_content() {
            return Some(known.clone());
        }
        let head = self.storable.head.response();
        let is_json = head
            .and_then(|head| head.headers.get(CONTENT_TYPE))
            .is_some_and(|content_type| is_json(content_type.as_bytes()));
        let content = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
        let mut tags = tags::of_route(&self.request, &self.original, content.as_ref())?;
        tags.extend(known.iter().cloned());
        Some(tags.into())
    }

    /// Makes a 206 a stored part, combined with the part that is stored already (RFC 9111 sections
    /// 3.3 and 3.4).
    fn make_part(&self, response: &mut StoredResponse) -> Option<()> {
        let part = partial::part(&response.headers, response.body.len() as u64)?;
        let mut piece = PartContent {
            part,
            body: response.body.clone(),
        };
        if let Some((_, stored)) = self.request.candidate_response()
            && let Some(part) = stored.part
        {
            let known = PartContent {
                part,
                body: stored.body.clone(),
            };
            let combined = partial::combine((&stored.headers, &known), (&response.headers, &piece));
            let fits = |combined: &PartContent| combined.body.len() <= self.storable.max_body;
            piece = combined.filter(fits).unwrap_or(piece);
        }
        response.status = partial::describe(&piece, &mut response.headers);
        response.part = (!piece.is_whole()).then_some(piece.part);
        response.body = piece.body;
        Some(())
    }

    /// The trailer fields that are stored, and sent to clients: those that would be stored as
    /// header fields. The others may be discarded (RFC 9110 section 6.5.1).
    pub(super) fn trailers(&self, trailers: HeaderMap) -> Option<HeaderMap> {
        let head = self.storable.head.response()?;
        let storing = FieldFilter::of(&head.headers, self.request.policy().strip);
        Some(storing.select_trailers(&trailers)).filter(|stored| !stored.is_empty())
    }

    /// Gives up storing a body that is too large, so that other requests do not wait for it.
    pub(super) fn refuse_too_large(&self, leader: &mut Option<FillLeader>) {
        let engine = self.engine();
        if self.request.may_collapse() {
            self.request.note_uncacheable(engine);
        }
        engine.metrics.refused.increment(1);
        if let Some(mut leader) = leader.take() {
            leader.note_uncacheable(engine, self.capture.position);
            leader.end();
        }
    }

    /// Reports a response that could not be stored.
    pub(super) fn failed(&self, reason: &'static str) {
        self.engine().metrics.fill_failed.increment(1);
        let key = self.request.key.as_str();
        tracing::debug!(key, reason, "a response was not stored");
    }
}

/// Shares a complete entry with the leader's followers: the local tier may be too small to hold it.
pub(super) fn share_entry(
    leader: Option<&FillLeader>,
    entry: &Arc<Entry>,
    variant: Option<&Variant>,
) {
    if let Some(leader) = leader
        && leader.is_followed()
        && let Some(fill) = Fill::whole(entry, variant)
    {
        leader.share(Arc::new(fill));
    }
}
