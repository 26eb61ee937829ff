//! A request that the local tier could not answer at once: store, collapse, inner service.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request};

use super::{answer, asked::Asked, judge::Judged, layer::Config, refresh, store::UNCACHEABLE_FOR};
use crate::{
    clock::Now,
    engine::{
        core::Engine,
        fill::Fill,
        fill_lock::{FillLock, Led, Look},
        single_flight::{Follower, Joined, LeaderGuard, Release},
        tiers::Found,
    },
    fence::{capture::Capture, verdict::Verdict},
    message::{
        http_service::HttpService, layer_markers::LayerMarkers, replayable_body::ReplayableBody,
        response_body::ResponseBody,
    },
    semantics::{
        cache_control::RequestCacheControl,
        cache_status::Forward,
        freshness::{self, Reason, Use},
        vary,
    },
    store::entry::Content,
};

/// One request on its way to the inner service, unless something stored or under way serves it.
pub(super) struct Miss<S, B> {
    pub(super) config: Arc<Config>,
    pub(super) inner: S,
    pub(super) asked: Asked,
    /// The request's content where it is part of the key: what is sent once more brings it along.
    pub(super) content: Bytes,
    /// Nobody waits for the answer, and what is stored is good unless the answer is better.
    pub(super) refreshing: bool,
    body: PhantomData<fn(B)>,
}

/// What a request is answered with.
pub(super) type Answer<S, B> = Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>;

/// The right to fill a key for everybody, where somebody has it.
pub(super) type Leading = Option<Leader>;

/// Who fills a key: for this process, and with the store's lock for all of them.
///
/// Ended once what is to be stored has been stored: whoever waits then finds it.
#[derive(Debug)]
pub(super) struct Leader {
    flight: LeaderGuard<Arc<Fill>>,
    fleet: Option<FillLock>,
}

impl Leader {
    pub(super) fn new(flight: LeaderGuard<Arc<Fill>>, fleet: Option<FillLock>) -> Self {
        Self { flight, fleet }
    }

    pub(super) fn is_followed(&self) -> bool {
        self.flight.is_followed()
    }

    /// Hands `fill` to everybody who waits in this process.
    pub(super) fn share(&self, fill: Arc<Fill>) {
        self.flight.share(fill);
    }

    /// Nobody anywhere is to wait for it.
    pub(super) fn is_noted_uncacheable(&mut self, keep: &Engine, capture: &Capture) {
        if let Some(fleet) = &mut self.fleet {
            fleet.note_uncacheable(capture.position, keep.clock.now().wall);
        }
    }
}

/// Releases whoever still waits: the work is done.
pub(super) fn end(lead: &mut Leading) {
    if let Some(lead) = lead.take() {
        lead.flight.end();
    }
}

impl<S, B> Miss<S, B> {
    pub(super) fn new(config: Arc<Config>, inner: S, asked: Asked) -> Self {
        Self {
            config,
            inner,
            asked,
            content: Bytes::new(),
            refreshing: false,
            body: PhantomData,
        }
    }

    pub(super) fn with_content(self, content: Bytes) -> Self {
        Self { content, ..self }
    }

    /// The keep whose tiers serve and are filled.
    pub(super) fn keep(&self) -> &Engine {
        self.config.keep.engine()
    }
}

impl<S, B> Miss<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    /// Answers from what is stored behind the local tier, from another request's fill, or from the
    /// inner service.
    // The arguments of an `async fn` would lie in its future twice.
    #[allow(clippy::manual_async_fn)]
    pub(super) fn run(
        mut self,
        parts: request::Parts,
        body: B,
    ) -> impl Future<Output = Result<Answer<S, B>, S::ServiceError>> + Send {
        async move {
            if let Some(response) = self.search(&parts) {
                return Ok(response);
            }
            if let Some(response) = self.answer_stored(&parts).await {
                return Ok(response);
            }
            // What is stored is answered without the room that the rest takes.
            Box::pin(self.answer_anew(parts, body)).await
        }
    }

    async fn answer_anew(
        mut self,
        parts: request::Parts,
        body: B,
    ) -> Result<Answer<S, B>, S::ServiceError> {
        if self.asked.candidate.is_none() && self.keep().tiers.has_variants(&self.asked.key) {
            self.asked.missed = Forward::VaryMiss;
        }
        if self.asked.traits.directives.only_if_cached {
            return Ok(answer::not_cached(self.asked.forward_reason()));
        }
        match self.collapse(&parts).await {
            Turn::Answered(response) => Ok(response),
            Turn::Fetch(lead) => self.fetch(parts, body, lead).await,
        }
    }

    /// What lies behind the local tier, if it may be used as it is; else it is the candidate.
    async fn answer_stored(&mut self, parts: &request::Parts) -> Option<Answer<S, B>> {
        let stored = self
            .keep()
            .tiers
            .lookup_stored(&self.asked.key, &parts.headers)
            .await;
        let stored = stored.filter(|(found, _)| self.asked.is_found_by(&found.entry));
        if let Some((mut found, now)) = stored {
            let judged = self.asked.judge(&found, now);
            let answer = answer::taken(&self.asked.traits, &mut found, judged, now)
                .or_else(|| self.answer_judged(&found, judged, parts, now));
            if answer.is_some() {
                self.keep().metrics.hit_store.increment(1);
                return answer;
            }
            self.asked.candidate = Some(found);
        }
        self.answer_in_backoff(self.asked.candidate.as_ref()?, parts)
    }

    /// Something stale while the inner service, which has just failed for this very key, is left
    /// in peace.
    fn answer_in_backoff(&self, found: &Found, parts: &request::Parts) -> Option<Answer<S, B>> {
        let keep = self.keep();
        let now = keep.clock.now();
        if !keep
            .origin_backoff
            .contains(self.asked.key.as_str(), now.mono)
        {
            return None;
        }
        match self.judge_again(found) {
            Judged::Validate { on_error: true, .. } => {
                keep.metrics.hit_stale.increment(1);
                answer::stale(&self.asked.traits, found, &parts.headers, now, None)
            }
            _ => None,
        }
    }

    /// An answer from `found`, refreshed behind the caller's back where that is due.
    pub(super) fn answer_found(
        &self,
        found: &Found,
        parts: &request::Parts,
    ) -> Option<Answer<S, B>> {
        let now = self.keep().clock.now();
        let judged = self.asked.judge(found, now);
        self.answer_judged(found, judged, parts, now)
    }

    fn answer_judged(
        &self,
        found: &Found,
        judged: Judged,
        parts: &request::Parts,
        now: Now,
    ) -> Option<Answer<S, B>> {
        let (traits, entry) = (&self.asked.traits, &found.entry);
        let answer = answer::judged(traits, entry, judged, &parts.headers, now)?;
        if judged.wants_refresh() && found.entry.local.claim_refresh(now.mono) {
            let asked = self.asked.with_candidate(found);
            let miss = Self::new(Arc::clone(&self.config), self.inner.clone(), asked);
            refresh::start(miss.with_content(self.content.clone()), parts);
        }
        Some(answer.response(entry))
    }

    /// Waits for whoever fetches the same already.
    async fn collapse(&mut self, parts: &request::Parts) -> Turn<Answer<S, B>> {
        if !self.asked.collapses() || self.is_uncacheable() {
            return Turn::Fetch(None);
        }
        if LayerMarkers::of(&parts.extensions).refetch {
            // Who is at it already may have begun before the write.
            let flight = self.keep().fills.try_lead(self.asked.key.as_str());
            return Turn::Fetch(flight.map(|flight| Leader::new(flight, None)));
        }
        let mut flight = self.asked.key.as_str().to_owned();
        let mut in_vain = false;
        loop {
            let mut follower = match self.keep().fills.join(&flight) {
                Joined::Lead(lead) => return self.lead(lead, &flight, parts).await,
                Joined::Follow(follower) => follower,
            };
            match follower.wait().await {
                Ok(fill) => match self.follow(&fill, parts) {
                    Followed::Answer(answer) => return Turn::Answered(answer),
                    // Who waits for the same variant waits together.
                    Followed::OtherVariant(own) if own != flight => {
                        flight = own;
                        continue;
                    }
                    Followed::OtherVariant(_) | Followed::Unwanted => return Turn::Fetch(None),
                    // An invalidation came after the leader's call: whoever asks from here on
                    // needs a later answer, and one fetches it for all.
                    Followed::Invalid => {
                        if let Some(lead) = self.succeed(&flight, &follower) {
                            return Turn::Fetch(Some(lead));
                        }
                    }
                },
                Err(release) => {
                    if let Some(answer) = self.answer_again(parts) {
                        return Turn::Answered(answer);
                    }
                    // A leader that left says nothing of its work: however many leave, one of
                    // those who wait takes over.
                    if release == Release::Cancelled {
                        continue;
                    }
                }
            }
            // What came to nothing is tried once more together; then everyone asks alone.
            if in_vain || self.is_uncacheable() {
                return Turn::Fetch(None);
            }
            in_vain = true;
        }
    }

    /// Leads this process: waits for other processes that fetch the same, or leads them, too.
    async fn lead(
        &mut self,
        lead: LeaderGuard<Arc<Fill>>,
        flight: &str,
        parts: &request::Parts,
    ) -> Turn<Answer<S, B>> {
        // Somebody may have stored it between the look and the lead.
        if let Some(answer) = self.answer_again(parts) {
            lead.end();
            return Turn::Answered(answer);
        }
        let (keep, asked) = (self.keep(), &self.asked);
        let look = || async {
            let found = keep.tiers.lookup_stored(&asked.key, &parts.headers).await;
            match found.filter(|(found, now)| asked.judge(found, *now).serves()) {
                Some((found, _)) => Look::Found(found),
                None if keep.is_noted_uncacheable(&asked.key) => Look::Unshared,
                None => Look::Nothing,
            }
        };
        let found = match keep.acquire_fill_lock(flight, look).await {
            Led::Lead(fleet) => return Turn::Fetch(Some(Leader::new(lead, fleet))),
            Led::Found(found) => found,
        };
        match self.answer_found(&found, parts) {
            Some(answer) => {
                keep.metrics.collapsed.increment(1);
                self.hand_out(&lead, &found, parts);
                lead.end();
                Turn::Answered(answer)
            }
            None => Turn::Fetch(Some(Leader::new(lead, None))),
        }
    }

    /// What another process has stored goes to those who wait here.
    fn hand_out(&self, lead: &LeaderGuard<Arc<Fill>>, found: &Found, parts: &request::Parts) {
        let variant = self.asked.variant(&found.entry, &parts.headers);
        if lead.is_followed()
            && found.verdict == Verdict::Usable
            && let Some(fill) = Fill::whole(&found.entry, variant.as_ref())
        {
            lead.share(Arc::new(fill));
        }
    }

    fn succeed(&self, flight: &str, follower: &Follower<Arc<Fill>>) -> Leading {
        let lead = self.keep().fills.succeed(flight, follower)?;
        Some(Leader::new(lead, None))
    }

    /// What another request's fill is to this one.
    fn follow(&self, fill: &Fill, parts: &request::Parts) -> Followed<Answer<S, B>> {
        let keep = self.keep();
        // At the moment it is handed out: an invalidation since the leader's call wins. And no more
        // is done with it than with what is stored (RFC 9111 section 4).
        let now = keep.clock.now();
        let entry = Arc::clone(&fill.head);
        let verdict = keep.fence.check(&entry, self.asked.key.base(), now);
        let judged = self.asked.judge(&Found { entry, verdict }, now);
        match judged {
            _ if verdict != Verdict::Usable => return Followed::Invalid,
            judged if judged.serves() => {}
            Judged::Validate {
                reason: Reason::Request,
                ..
            } => return Followed::Unwanted,
            _ => {
                self.note_unusable(fill, now);
                return Followed::Invalid;
            }
        }
        if let Some(variant) = &fill.variant
            && !vary::selects(variant, &parts.headers)
        {
            let own = vary::selected(variant, &parts.headers);
            return Followed::OtherVariant(self.asked.key.varied(&own));
        }
        answer::followed(&self.asked, fill, &parts.headers, keep)
            .map_or(Followed::Invalid, Followed::Answer)
    }

    /// What nobody may use without validation is not waited for.
    fn note_unusable(&self, fill: &Fill, now: Now) {
        let Content::Response(response) = &fill.head.content else {
            return;
        };
        let asked = RequestCacheControl::default();
        let from_the_start = freshness::usable(&response.lifetime, Duration::ZERO, &asked);
        if matches!(from_the_start, Use::Validate { .. }) {
            let key = self.asked.key.as_str();
            self.keep()
                .uncacheable
                .insert(key, now.mono, UNCACHEABLE_FOR);
        }
    }

    fn is_uncacheable(&self) -> bool {
        let (keep, key) = (self.keep(), &self.asked.key);
        keep.uncacheable.contains(key.as_str(), keep.clock.mono()) || keep.is_noted_uncacheable(key)
    }

    fn answer_again(&self, parts: &request::Parts) -> Option<Answer<S, B>> {
        let keep = self.keep();
        let found = keep
            .tiers
            .lookup_local(&self.asked.key, &parts.headers, keep.clock.now());
        found
            .and_then(|found| {
                self.answer_found(&found, parts)
                    .or_else(|| self.answer_in_backoff(&found, parts))
            })
            .or_else(|| self.answer_in_backoff(self.asked.candidate.as_ref()?, parts))
    }
}

/// What a request does after it has looked for others of its kind.
enum Turn<A> {
    Answered(A),
    Fetch(Leading),
}

enum Followed<A> {
    Answer(A),
    /// It is for requests with other field values; those like this one wait under this key.
    OtherVariant(String),
    /// Good for others, but this request's directives want a better one.
    Unwanted,
    /// It may not be used any more.
    Invalid,
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::Ready, mem::size_of_val};

    use http::Request;
    use http_body_util::Full;
    use tower::{service_fn, util::BoxCloneService};

    use super::*;
    use crate::{
        cache::{CacheLayer, ask::Ask},
        key::KeyBuf,
        table::{Route, Table, secs},
    };

    type Body = Full<Bytes>;
    type Inner = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

    /// Each hit in the store allocated what a fill of the inner service takes: ten KiB.
    #[test]
    fn a_hit_in_the_store_needs_no_room_for_a_fill() {
        let route = Route::new("/e/{id}").key("e:{id}");
        let keep = crate::keep::handle::Keep::new(Table::new().ttl("e", secs(1)).route(route))
            .expect("a valid table");
        let layer = CacheLayer::new(&keep);
        let request = Request::get("/e/1").body(Body::default());
        let (parts, body) = request.expect("a request").into_parts();
        let snapshot = keep.engine().snapshot.load();
        let mut key = KeyBuf::new();
        let matched = snapshot.plan.route("/e/1", None);
        let ask = Ask::of(&layer.config, &snapshot, &parts, matched.as_ref(), &mut key);
        let Ask::Stored(asked) = ask else {
            panic!("the route is listed");
        };
        let answer = |_| -> Ready<Result<Response<Body>, Infallible>> { unreachable!() };
        let inner = Inner::new(service_fn(answer));
        let asked = asked.own(&snapshot);
        let miss = Miss::new(Arc::clone(&layer.config), inner, asked);
        let size = size_of_val(&miss.run(parts, body));
        // What an allocator hands out without a search.
        assert!(size <= 1032, "{size} bytes");
    }
}
