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
    http_service::HttpService,
    keep::{Shared, fill::Fill, lookup::Found},
};

/// One request on its way to the inner service, unless something stored or under way serves it.
pub(super) struct Miss<S, B> {
    pub(super) config: Arc<Config>,
    pub(super) inner: S,
    pub(super) asked: Asked,
    body: PhantomData<fn(B)>,
}

/// What a request is answered with.
pub(super) type Answer<S, B> = Response<ResponseBody<<S as HttpService<RequestBody<B>>>::ResponseBody>>;

/// The right to fill a key for everybody, where somebody has it.
pub(super) type Leading = Option<Lead<Arc<Fill>>>;

impl<S, B> Miss<S, B> {
    pub(super) fn new(config: Arc<Config>, inner: S, asked: Asked) -> Self {
        Self {
            config,
            inner,
            asked,
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
        let mut rejoined = false;
        loop {
            let follower = match self.keep().fills.join(self.asked.key.as_str()) {
                Joined::Lead(lead) => {
                    // Somebody may have stored it between our look and our lead.
                    return match self.answer_again(parts) {
                        Some(answer) => Turn::Answered(answer),
                        None => Turn::Fetch(Some(lead)),
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

    fn is_misfit(&self) -> bool {
        let keep = self.keep();
        keep.misfits.contains(self.asked.key.as_str(), keep.clock.mono())
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
