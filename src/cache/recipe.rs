//! What will be stored of an answer once its body is there.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    asked::Asked,
    layer::Config,
    miss::{self, Leading},
    store::UNCACHEABLE_FOR,
    tags,
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
    keep::values::is_json,
    key::purge::PurgeTarget,
    message::client_request::ClientRequest,
    semantics::{
        fields::FieldFilter,
        partial::{self, PartContent},
        stored::{StoredResponse, Variant},
    },
    store::entry::{Content, Entry},
};

/// A head that may be stored.
pub(super) struct Storable {
    /// As it will be stored, but for its body.
    pub(super) head: Arc<Entry>,
    pub(super) variant: Option<Variant>,
}

/// A storable head, and how it becomes an entry.
pub(super) struct Recipe {
    pub(super) config: Arc<Config>,
    /// With the key under which it is stored.
    pub(super) asked: Asked,
    pub(super) original: ClientRequest,
    pub(super) storable: Storable,
    pub(super) capture: Capture,
    /// The most bytes a body may have to be stored.
    pub(super) cap: usize,
    /// What `Content-Length` says.
    pub(super) length: Option<u64>,
}

impl Recipe {
    fn keep(&self) -> &Engine {
        self.config.keep.engine()
    }

    fn response(&self) -> Option<&StoredResponse> {
        match &self.storable.head.content {
            Content::Response(response) => Some(response),
            _ => None,
        }
    }

    /// Stores the answer to a write, which has invalidated what it replaces, at the position of that
    /// invalidation. False if another write may have come between: then nothing is stored.
    pub(super) async fn invalidate(&mut self, subjects: Vec<PurgeTarget>) -> bool {
        let keep = self.config.keep.engine();
        let head = &self.storable.head;
        let key = self.asked.key.base();
        let hashes = &target_hashes(key, &head.entity, head.user.as_deref(), &head.tags);
        let names = EntryNames { key, hashes };
        // What the journal does not take now is queued, and uncacheable here until it does.
        let appended = keep
            .fence
            .write_through(&self.capture, subjects, names)
            .await;
        match (appended, Arc::get_mut(&mut self.storable.head)) {
            (Ok(Some(position)), Some(head)) => {
                head.position = position;
                // What it is trusted for counts from when it was asked for, not from the append.
                self.capture.position = position;
                true
            }
            _ => false,
        }
    }

    /// Whether others may have it before it is complete: not while its tags are unknown, for the
    /// fence could not judge it, and not a part.
    pub(super) fn is_shareable(&self) -> bool {
        let known = !self.asked.tags_need_answer();
        let whole = self
            .response()
            .is_some_and(|response| response.status != StatusCode::PARTIAL_CONTENT);
        known && whole
    }

    /// Stores it, the whole body being there, and hands it to whoever waits.
    pub(super) async fn complete<'a>(
        &self,
        chunks: impl IntoIterator<Item = &'a Bytes, IntoIter: Clone>,
        trailers: Option<HeaderMap>,
        lead: &Leading,
    ) -> Option<Arc<Entry>> {
        let body = concatenate(chunks.into_iter());
        if self
            .length
            .is_some_and(|length| length != body.len() as u64)
        {
            self.failed("the body is not as long as its Content-Length says");
            return None;
        }
        let entry = Arc::new(self.entry(body, trailers)?);
        let keep = self.keep();
        if !self.asked.may_store(keep, &self.capture, &entry) {
            return None;
        }
        keep.uncacheable.forget(self.asked.key.as_str());
        let variant = self.storable.variant.as_ref();
        keep.put_response(&self.asked.key, variant, &entry).await;
        hand_out(lead, &entry, variant);
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

    /// What may be stored, and shared with whoever waits, of a trailer section: what the head would
    /// not keep, it does not bring in. A recipient may discard trailer fields (RFC 9110
    /// section 6.5.1), so who asked gets no others.
    pub(super) fn trailers(&self, trailers: HeaderMap) -> Option<HeaderMap> {
        let storing = FieldFilter::of(&self.response()?.headers, self.asked.policy().strip);
        Some(storing.select_trailers(&trailers)).filter(|kept| !kept.is_empty())
    }

    /// The tags, those from the answer's own fields included; without them it is not stored.
    fn tags(&self, body: &Bytes) -> Option<Box<[Box<str>]>> {
        let known = &self.storable.head.tags;
        if !self.asked.tags_need_answer() {
            return Some(known.clone());
        }
        let json = self
            .response()
            .and_then(|response| response.headers.get(http::header::CONTENT_TYPE))
            .is_some_and(|kind| is_json(kind.as_bytes()));
        let answer = json.then(|| serde_json::from_slice(body).ok()).flatten();
        let mut tags = tags::of_route(&self.asked, &self.original, answer.as_ref())?;
        tags.extend(known.iter().cloned());
        Some(tags.into())
    }

    /// RFC 9111 sections 3.3 and 3.4: a part, combined with the part that is stored already.
    fn make_part(&self, response: &mut StoredResponse) -> Option<()> {
        let part = partial::part(&response.headers, response.body.len() as u64)?;
        let mut piece = PartContent {
            part,
            body: response.body.clone(),
        };
        if let Some((_, stored)) = self.asked.candidate_response()
            && let Some(part) = stored.part
        {
            let known = PartContent {
                part,
                body: stored.body.clone(),
            };
            let combined = partial::combine((&stored.headers, &known), (&response.headers, &piece));
            let fits = |combined: &PartContent| combined.body.len() <= self.cap;
            piece = combined.filter(fits).unwrap_or(piece);
        }
        response.status = partial::describe(&piece, &mut response.headers);
        response.part = (!piece.is_whole()).then_some(piece.part);
        response.body = piece.body;
        Some(())
    }

    /// Nobody else is to wait for it.
    pub(super) fn too_large(&self, lead: &mut Leading) {
        let keep = self.keep();
        if self.asked.collapses() {
            keep.uncacheable
                .remember(self.asked.key.as_str(), keep.clock.mono(), UNCACHEABLE_FOR);
        }
        keep.metrics.refused.increment(1);
        if let Some(lead) = lead {
            lead.is_noted_uncacheable(keep, &self.capture);
        }
        miss::end(lead);
    }

    pub(super) fn failed(&self, why: &'static str) {
        self.keep().metrics.fill_failed.increment(1);
        tracing::debug!(
            key = self.asked.key.as_str(),
            why,
            "a response was not stored"
        );
    }
}

/// The local tier may be too small to hold it for those who wait.
pub(super) fn hand_out(lead: &Leading, entry: &Arc<Entry>, variant: Option<&Variant>) {
    if let Some(lead) = lead
        && lead.is_followed()
        && let Some(fill) = Fill::whole(entry, variant)
    {
        lead.share(Arc::new(fill));
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::{
        cache::{CacheLayer, ask::Ask, fetch::Seen, store},
        key::KeyBuf,
        semantics::freshness::Exchange,
        table::{Route, Table, secs},
    };

    /// It counted from the append's reply, which a slow journal gives long after the call.
    #[tokio::test]
    async fn what_a_write_stores_is_as_old_as_its_call() {
        let route = Route::new("/e/{id}").key("e:{id}");
        let keep = crate::keep::Keep::new(Table::new().ttl("e", secs(1)).route(route))
            .expect("a valid table");
        let config = CacheLayer::new(&keep).config;
        let request = Request::get("/e/1").body(()).expect("a request");
        let (parts, ()) = request.into_parts();
        let snapshot = keep.engine().snapshot.load_full();
        let mut key = KeyBuf::new();
        let matched = snapshot.plan.route("/e/1", None);
        let ask = Ask::of(&config, &snapshot, &parts, matched.as_ref(), &mut key);
        let Ask::Stored(asked) = ask else {
            panic!("the route is listed");
        };
        let asked = asked.own(&snapshot);
        let received = keep.engine().clock.now().wall;
        let mut capture = keep.engine().fence.capture();
        capture.at = 7;
        let seen = Seen {
            head: Response::new(()).into_parts().0,
            tag_fields: HeaderMap::new(),
            capture,
            exchange: Exchange {
                requested: received,
                received,
            },
        };
        let original = keep.engine().client_request(&parts);
        let mut recipe = store::recipe(&config, &asked, &seen, &original)
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let subjects = vec![PurgeTarget::Key("e:1".into())];
        assert!(recipe.invalidate(subjects).await);
        let entry = recipe
            .complete([], None, &None)
            .await
            .expect("it is stored");
        assert!(entry.position.n > capture.position.n);
        assert_eq!(entry.local.captured, 7);
    }
}
