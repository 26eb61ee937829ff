//! A response that is stored when its body is complete.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::{
    cache_request::CacheRequest, config::Config, context::FillLeader,
    superseded_entry::SupersededEntry, tags,
};
use crate::{
    engine::{
        core::Engine,
        fill::{Fill, StoredMark, concatenate},
    },
    fence::capture::Capture,
    message::{client_request::ClientRequest, media_type::is_json},
    semantics::{
        grpc,
        partial::{self, PartContent},
        storable::Refusal,
        stored_fields::FieldFilter,
        stored_response::{StoredResponse, Variant},
    },
    store::entry::{Content, Entry},
};

/// A response that is stored when its body is complete, as
/// [`decide_storage`](super::storage_decision::decide_storage) has allowed.
pub(super) struct PendingEntry {
    pub(super) config: Arc<Config>,
    /// Its `key` is the one under which the response is stored.
    pub(super) request: CacheRequest,
    pub(super) original: Arc<ClientRequest>,
    /// The fence's position before the call.
    pub(super) capture: Capture,
    /// The entry that will be stored, without its body.
    pub(super) head: Arc<Entry>,
    /// The variant; `None` if the response does not vary.
    pub(super) variant: Option<Variant>,
    /// The longest body that is stored, in bytes.
    pub(super) max_body: usize,
    /// The length that `Content-Length` states.
    pub(super) length: Option<u64>,
    /// Whether it is the response of a gRPC call, whose status follows the body.
    pub(super) is_grpc: bool,
    /// The stored response that this one replaces, if that is stored under another key.
    pub(super) replaced: Option<SupersededEntry>,
    /// The stored response that is removed if the body shows that this one may not be stored.
    pub(super) superseded_if_refused: Option<SupersededEntry>,
    /// Set when the response is stored.
    pub(super) stored: StoredMark,
}

/// A complete response after [`PendingEntry::store`].
pub(super) struct CompleteEntry {
    pub(super) entry: Arc<Entry>,
    /// Whether a tier keeps it.
    pub(super) is_kept: bool,
}

impl PendingEntry {
    pub(super) fn engine(&self) -> &Engine {
        self.config.engine()
    }

    /// Whether other requests may receive the response before it is complete. The fence cannot
    /// check it while its tags are unknown, a part answers only the requests for that range, and a gRPC
    /// call may still fail.
    pub(super) fn is_shareable(&self) -> bool {
        let is_part = |head: &StoredResponse| head.status == StatusCode::PARTIAL_CONTENT;
        !self.tags_need_answer()
            && !self.is_grpc
            && self.head.response().is_some_and(|head| !is_part(head))
    }

    /// Stores the response with its whole body, and shares it with the leader's followers.
    ///
    /// # Errors
    ///
    /// If it must not be stored; with a [`Refusal`] if the response itself is the reason, without one for
    /// example if it has been invalidated meanwhile.
    pub(super) async fn store<'a>(
        &self,
        chunks: impl IntoIterator<Item = &'a Bytes, IntoIter: Clone>,
        trailers: Option<HeaderMap>,
        leader: Option<&FillLeader>,
    ) -> Result<CompleteEntry, Option<Refusal>> {
        let body = concatenate(chunks.into_iter());
        if self
            .length
            .is_some_and(|length| length != body.len() as u64)
        {
            self.report_failure("the body is not as long as its Content-Length says");
            return Err(None);
        }
        if self.is_grpc && !self.has_succeeded(&body, trailers.as_ref()) {
            self.report_failure("the gRPC call has not succeeded, or its response is incomplete");
            return Err(Some(Refusal::GrpcStatus));
        }
        let (engine, key) = (self.engine(), &self.request.key);
        let entry = match self.tags(&body) {
            Some(tags) => self.entry(body, trailers, tags).ok_or(None),
            None => Err(Some(Refusal::Tags)),
        };
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(refusal) => {
                self.remove_superseded().await;
                return Err(refusal);
            }
        };
        entry.count_body(&engine.buffers);
        let entry = Arc::new(entry);
        if !engine.may_store(&self.capture, &entry, key.base()) {
            return Err(None);
        }
        engine.hit_for_miss.remove(key.as_str());
        let variant = self.variant.as_ref();
        let is_kept = engine.tiers.store_response(key, variant, &entry).await;
        if is_kept {
            self.stored.set();
        }
        if let Some(replaced) = &self.replaced {
            replaced.remove(engine, &self.original.headers).await;
        }
        share_entry(engine, leader, &entry, variant);
        Ok(CompleteEntry { entry, is_kept })
    }

    fn has_succeeded(&self, body: &[u8], trailers: Option<&HeaderMap>) -> bool {
        let head = self.head.response();
        head.is_some_and(|head| grpc::has_succeeded(&head.headers, body, trailers))
    }

    fn entry(
        &self,
        body: Bytes,
        trailers: Option<HeaderMap>,
        tags: Box<[Box<str>]>,
    ) -> Option<Entry> {
        let mut entry = self.head.with_body(body, trailers)?;
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
        let known = &self.head.tags;
        if !self.tags_need_answer() {
            return Some(known.clone());
        }
        let head = self.head.response();
        let is_json = head
            .and_then(|head| head.headers.get(CONTENT_TYPE))
            .is_some_and(|content_type| is_json(content_type.as_bytes()));
        let content = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
        let mut tags = tags::of_route(
            self.engine(),
            &self.request,
            &self.original,
            content.as_ref(),
        )?;
        tags.extend(known.iter().cloned());
        tags::distinct(tags)
    }

    /// Whether a tag of the route contains `{answer.FIELD}`, a field of the response's JSON content.
    pub(super) fn tags_need_answer(&self) -> bool {
        let route = self.request.route.as_ref();
        route.is_some_and(|route| route.tags_need_answer())
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
            let fits = |combined: &PartContent| combined.body.len() <= self.max_body;
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
        let head = self.head.response()?;
        let storing = FieldFilter::of(&head.headers, self.request.policy().strip);
        Some(storing.select_trailers(&trailers)).filter(|stored| !stored.is_empty())
    }

    /// Whether it is known before the end of the body that the response will be stored if the body
    /// arrives whole.
    pub(super) fn will_be_stored(&self) -> bool {
        let is_part = |head: &StoredResponse| head.status == StatusCode::PARTIAL_CONTENT;
        let makes_part = |length| match self.head.response() {
            Some(head) if is_part(head) => partial::part(&head.headers, length).is_some(),
            head => head.is_some(),
        };
        self.engine().tiers.can_store()
            && !self.tags_need_answer()
            && !self.is_grpc
            && self.length.is_some_and(makes_part)
    }

    /// Gives up storing the response for a reason that lasts, so that other requests do not wait for it,
    /// and removes the stored response that it supersedes.
    pub(super) async fn refuse(&self, leader: &mut Option<FillLeader>) {
        let engine = self.engine();
        self.remove_superseded().await;
        if self.request.may_collapse() {
            self.request.note_hit_for_miss(engine);
        }
        engine.metrics.refused.increment(1);
        if let Some(mut leader) = leader.take() {
            leader.note_hit_for_miss(engine, self.capture.position);
            leader.end();
        }
    }

    /// Removes the stored response that this one supersedes, because this one may not be stored.
    async fn remove_superseded(&self) {
        if let Some(superseded) = &self.superseded_if_refused {
            let engine = self.engine();
            superseded.remove(engine, &self.original.headers).await;
        }
    }

    /// Gives up storing a body for which there is no room in memory. Releases the requests that wait
    /// for it.
    pub(super) fn refuse_without_room(&self, leader: &mut Option<FillLeader>) {
        let metrics = &self.engine().metrics;
        metrics.refused.increment(1);
        metrics.busy_response.increment(1);
        if let Some(leader) = leader.take() {
            leader.end();
        }
    }

    /// Counts and logs that the response could not be stored.
    pub(super) fn report_failure(&self, reason: &'static str) {
        self.engine().metrics.fill_failed.increment(1);
        let key = self.request.key.as_str();
        tracing::debug!(key, reason, "a response was not stored");
    }
}

/// Shares a complete entry with the leader's followers, because the local tier may be too small to
/// hold it.
pub(super) fn share_entry(
    engine: &Engine,
    leader: Option<&FillLeader>,
    entry: &Arc<Entry>,
    variant: Option<&Variant>,
) {
    if let Some(leader) = leader
        && leader.has_followers()
        && let Some(fill) = Fill::whole(entry, variant, engine.buffers.permit())
    {
        leader.share(Arc::new(fill));
    }
}
