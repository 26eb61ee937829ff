//! A request that the local tier could not answer at once: store, collapse, inner service.

use std::{marker::PhantomData, sync::Arc};

use bytes::Bytes;
use http::{Response, request};
use http_body::Body;

use super::{
    answer,
    ask::{Asked, Judged},
    layer::Config,
    refresh,
};
use crate::{
    body::{RequestBody, ResponseBody},
    collapse::{Joined, Lead},
    fence::Capture,
    http_service::HttpService,
    keep::{
        Shared,
        fill::Fill,
        fleet::{FleetLead, Led, Look},
        lookup::Found,
    },
    passage::Passages,
};

/// One request on its way to the inner service, unless something stored or under way serves it.
pub(super) struct Miss<S, B> {
    pub(super) config: Arc<Config>,
    pub(super) inner: S,
    pub(super) asked: Asked,
    /// Nobody waits for the answer, and what is stored is good unless the answer is better.
    pub(super) refreshing: bool,
    body: PhantomData<fn(B)>,
}

/// What a request is answered with.
pub(super) type Answer<S, B> = Response<ResponseBody<<S as HttpService<RequestBody<B>>>::ResponseBody>>;

/// The right to fill a key for everybody, where somebody has it.
pub(super) type Leading = Option<Leader>;

/// Who fills a key: for this process, and with the store's lock for all of them.
///
/// Dropped once what is to be stored has been stored: whoever waits then finds it.
#[derive(Debug)]
pub(super) struct Leader {
    flight: Lead<Arc<Fill>>,
    fleet: Option<FleetLead>,
}

impl Leader {
    pub(super) fn new(flight: Lead<Arc<Fill>>, fleet: Option<FleetLead>) -> Self {
        Self { flight, fleet }
    }

    /// Hands `fill` to everybody who waits in this process.
    pub(super) fn share(&self, fill: Arc<Fill>) {
        self.flight.share(fill);
    }

    /// Nobody anywhere is to wait for it.
    pub(super) fn is_unshared(&mut self, keep: &Shared, capture: &Capture) {
        if let Some(fleet) = &mut self.fleet {
            fleet.note_unshared(capture.position, keep.clock.now().wall);
        }
    }
}

impl<S, B> Miss<S, B> {
    pub(super) fn new(config: Arc<Config>, inner: S, asked: Asked) -> Self {
        Self {
            config,
            inner,
            asked,
            refreshing: false,
            body: PhantomData,
        }
    }

    /// The keep whose tiers serve and are filled.
    pub(super) fn keep(&self) -> &Shared {
        self.config.keep.shared()
    }
}

impl<S, B> Miss<S, B>
where
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    /// Answers from what is stored behind the local tier, from another request's fill, or from the
    /// inner service.
    pub(super) async fn run(
        mut self,
        parts: request::Parts,
        body: RequestBody<B>,
    ) -> Result<Answer<S, B>, S::ServiceError> {
        if let Some(response) = self.answer_stored(&parts).await {
            return Ok(response);
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
        let stored = self.keep().find_stored(&self.asked.key, &parts.headers).await;
        if let Some(found) = stored {
            if let Some(answer) = self.answer_found(&found, parts) {
                self.keep().metrics.hit_store.increment(1);
                return Some(answer);
            }
            self.asked.candidate = Some(found);
        }
        let found = self.asked.candidate.as_ref()?;
        let now = self.keep().clock.now();
        if !found.entry.local.resting(now.mono) {
            return None;
        }
        // The inner service has just failed for this very entry: it is left in peace.
        match self.asked.judge(found, now) {
            Judged::Validate { on_error: true, .. } => {
                answer::stale(&self.asked.traits, found, &parts.headers, now, None)
            }
            _ => None,
        }
    }

    /// An answer from `found`, refreshed behind the caller's back where that is due.
    fn answer_found(&self, found: &Found, parts: &request::Parts) -> Option<Answer<S, B>> {
        let keep = self.keep();
        let now = keep.clock.now();
        let judged = self.asked.judge(found, now);
        let answer = answer::judged(&self.asked.traits, found, judged, &parts.headers, now)?;
        if judged.wants_refresh() && found.entry.local.claim_refresh(now.mono) {
            let asked = self.asked.with_candidate(found);
            refresh::start(Self::new(Arc::clone(&self.config), self.inner.clone(), asked), parts);
        }
        Some(answer)
    }

    /// Waits for whoever fetches the same already.
    async fn collapse(&mut self, parts: &request::Parts) -> Turn<Answer<S, B>> {
        if !self.asked.collapses() || self.is_misfit() {
            return Turn::Fetch(None);
        }
        if Passages::of(&parts.extensions).refetch {
            // Who is at it already may have begun before the write.
            let flight = self.keep().fills.try_lead(self.asked.key.as_str());
            return Turn::Fetch(flight.map(|flight| Leader::new(flight, None)));
        }
        let mut rejoined = false;
        loop {
            let follower = match self.keep().fills.join(self.asked.key.as_str()) {
                Joined::Lead(lead) => {
                    // Somebody may have stored it between our look and our lead.
                    return match self.answer_again(parts) {
                        Some(answer) => Turn::Answered(answer),
                        None => self.lead(lead, parts).await,
                    };
                }
                Joined::Follow(follower) => follower,
            };
            let fill = follower.wait().await;
            let answer = match &fill {
                Some(fill) => answer::followed(&self.asked, fill, &parts.headers, self.keep()),
                None => self.answer_again(parts),
            };
            if let Some(answer) = answer {
                return Turn::Answered(answer);
            }
            // A leader that vanished is replaced, once; for what is not shareable nobody waits.
            if rejoined || fill.is_some() || self.is_misfit() {
                return Turn::Fetch(None);
            }
            rejoined = true;
        }
    }

    /// Leads this process: waits for other processes that fetch the same, or leads them, too.
    async fn lead(&mut self, flight: Lead<Arc<Fill>>, parts: &request::Parts) -> Turn<Answer<S, B>> {
        let (keep, asked) = (self.keep(), &self.asked);
        let look = || async {
            let found = keep.find_stored(&asked.key, &parts.headers).await;
            match found.filter(|found| asked.judge(found, keep.clock.now()).serves()) {
                Some(found) => Look::Found(found),
                None if keep.is_unshared(&asked.key) => Look::Unshared,
                None => Look::Nothing,
            }
        };
        let found = match keep.lead_fleet(asked.key.as_str(), look).await {
            Led::Lead(fleet) => return Turn::Fetch(Some(Leader::new(flight, fleet))),
            Led::Found(found) => found,
        };
        match self.answer_found(&found, parts) {
            Some(answer) => {
                self.keep().metrics.collapsed.increment(1);
                Turn::Answered(answer)
            }
            None => Turn::Fetch(Some(Leader::new(flight, None))),
        }
    }

    fn is_misfit(&self) -> bool {
        let (keep, key) = (self.keep(), &self.asked.key);
        keep.misfits.contains(key.as_str(), keep.clock.mono()) || keep.is_unshared(key)
    }

    fn answer_again(&self, parts: &request::Parts) -> Option<Answer<S, B>> {
        let keep = self.keep();
        let found = keep.find_local(&self.asked.key, &parts.headers, keep.clock.now())?;
        self.answer_found(&found, parts)
    }
}

/// What a request does after it has looked for others of its kind.
enum Turn<A> {
    Answered(A),
    Fetch(Leading),
}
