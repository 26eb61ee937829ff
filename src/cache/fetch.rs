//! Calling the inner service, and what becomes of its answer.

use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, request, response};
use tower::ServiceExt;

use super::{
    answer,
    asked::Sent,
    judge::Judged,
    miss::{self, Answer, Leading, Miss},
    store,
    validate::{self, Resolved},
};
use crate::{
    clock::Now,
    engine::lookup::Found,
    fence::{capture::Capture, verdict::Verdict},
    message::{
        client_request::ClientRequest, layer_markers::LayerMarkers, request_body::ReplayableBody,
        service::HttpService,
    },
    semantics::{
        conditional,
        freshness::{self, Exchange},
    },
};

/// An answer of the inner service.
pub(super) struct Fetched<B> {
    pub(super) seen: Seen,
    pub(super) body: B,
}

/// The head of an answer, and when and where in the order of invalidations it was asked for.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) head: response::Parts,
    pub(super) tag_fields: HeaderMap,
    pub(super) capture: Capture,
    pub(super) exchange: Exchange,
}

/// Between a failure of the inner service and the next attempt for the same key.
const BACKOFF: Duration = Duration::from_secs(1);

impl<S, B> Miss<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    /// Calls the inner service, and stores what it answers if that may be.
    pub(super) async fn fetch(
        self,
        parts: request::Parts,
        body: B,
        mut lead: Leading,
    ) -> Result<Answer<S, B>, S::ServiceError> {
        let answer = self.fetch_leading(parts, body, &mut lead).await;
        miss::end(&mut lead);
        answer
    }

    async fn fetch_leading(
        mut self,
        mut parts: request::Parts,
        body: B,
        lead: &mut Leading,
    ) -> Result<Answer<S, B>, S::ServiceError> {
        if self.asked.candidate.is_none() {
            self.keep().metrics.miss.increment(1);
        }
        let original = self.keep().client_request(&parts);
        // Taken before the call: what is invalidated from here on wins. And before the candidate is
        // looked at: what is made of it counts as read now.
        let capture = self.keep().fence.capture();
        self.drop_if_unusable();
        let prepared = validate::prepare(&mut self.asked, &mut parts.headers);
        LayerMarkers::mark(&mut parts.extensions, |passages| {
            passages.cache = self.keep().id();
        });
        let mut again = parts.clone();
        let fetched = match self.call(parts, body, capture).await {
            Ok(fetched) => fetched,
            Err(error) => return self.stale_on_disconnect(&original).ok_or(error),
        };
        if !self.refreshing
            && let Some(stale) = self.stale_on_error(&original, fetched.seen.head.status)
        {
            return Ok(stale);
        }
        let fetched = match validate::resolve(&mut self, prepared, fetched, &original, lead).await {
            Resolved::Answered(answer) => return Ok(answer),
            Resolved::Fetched(fetched) => fetched,
            Resolved::Useless => {
                // What was asked beyond the client's question led nowhere: its own is asked.
                conditional::make_unconditional(&mut again.headers);
                self.asked.candidate = None;
                self.asked.sent = Sent::Whole;
                let content = B::from_bytes(self.content.clone());
                let capture = self.keep().fence.capture();
                self.call(again, content, capture).await?
            }
        };
        if self.asked.traits.shape.head
            && let Some(answer) = validate::seen_by_head(&mut self, &fetched.seen, &original).await
        {
            return Ok(answer);
        }
        Ok(store::answer(self, fetched, original, lead).await)
    }

    async fn call(
        &mut self,
        parts: request::Parts,
        body: B,
        capture: Capture,
    ) -> Result<Fetched<S::ResponseBody>, S::ServiceError> {
        let requested = self.keep().clock.now().wall;
        let request = Request::from_parts(parts, body);
        let response = self.inner.clone().oneshot(request).await?;
        let (mut head, body) = response.into_parts();
        let tag_fields = self.config.tag_fields.take(&mut head.headers);
        let keep = self.keep();
        let received = keep.clock.now().wall;
        let took = received.since(requested);
        keep.metrics.fill_seconds.record(took.as_secs_f64());
        let exchange = Exchange {
            requested,
            received,
        };
        let seen = Seen {
            head,
            tag_fields,
            capture,
            exchange,
        };
        Ok(Fetched { seen, body })
    }

    /// Something stale instead of the inner service's own error (RFC 9111 section 4.2.4).
    pub(super) fn stale_on_disconnect(&self, original: &ClientRequest) -> Option<Answer<S, B>> {
        self.stale(self.good_without_inner()?, &original.headers, None)
    }

    /// What is stored that may answer if the inner service breaks off.
    pub(super) fn good_without_inner(&self) -> Option<&Found> {
        let found = self.asked.candidate.as_ref().filter(|_| !self.refreshing)?;
        match self.judge_again(found) {
            Judged::Validate {
                on_error,
                on_disconnect,
                ..
            } if on_error || on_disconnect => Some(found),
            _ => None,
        }
    }

    /// Something stale instead of a 500, 502, 503 or 504 (RFC 5861 section 4).
    fn stale_on_error(&self, original: &ClientRequest, status: StatusCode) -> Option<Answer<S, B>> {
        let found = self.asked.candidate.as_ref()?;
        if !freshness::is_error(status) {
            return None;
        }
        match self.judge_again(found) {
            Judged::Validate { on_error: true, .. } => {
                self.stale(found, &original.headers, Some(status))
            }
            _ => None,
        }
    }

    /// And for a while nobody asks the inner service again for this entry.
    fn stale(
        &self,
        found: &Found,
        headers: &HeaderMap,
        instead_of: Option<StatusCode>,
    ) -> Option<Answer<S, B>> {
        let keep = self.keep();
        let now = keep.clock.now();
        keep.origin_backoff
            .remember(self.asked.key.as_str(), now.mono, BACKOFF);
        keep.metrics.hit_stale.increment(1);
        answer::stale(&self.asked.traits, found, headers, now, instead_of)
    }

    /// It may have been invalidated since it was looked up, while this request waited.
    pub(super) fn judge_again(&self, found: &Found) -> Judged {
        let now = self.keep().clock.now();
        let found = Found {
            verdict: self.verdict(found, now),
            ..found.clone()
        };
        self.asked.judge(&found, now)
    }

    fn verdict(&self, found: &Found, now: Now) -> Verdict {
        let key = self.asked.key.base();
        self.keep().fence.check(&found.entry, key, now)
    }

    /// What has been invalidated is neither validated nor completed: its validators may be those of
    /// what has replaced it (a second is long for `Last-Modified`).
    fn drop_if_unusable(&mut self) {
        let now = self.keep().clock.now();
        let candidate = self.asked.candidate.as_ref();
        if candidate.is_some_and(|found| self.verdict(found, now) == Verdict::Unusable) {
            self.asked.candidate = None;
        }
    }
}
