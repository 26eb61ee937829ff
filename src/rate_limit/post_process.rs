//! The work after the inner service has responded: refunds and fields.

use std::sync::Arc;

use http::{Response, StatusCode, request};

use super::{
    admission::Admission,
    applied_limit::{self, AppliedLimit, AppliedLimits},
    config::Config,
    decision::Decision,
    fields::RateLimitFields,
};
use crate::{engine::snapshot::Snapshot, message::response_body::ResponseBody};

/// The work that remains for an admitted request after the inner service has responded.
pub(super) struct PostProcess {
    fields: Option<RateLimitFields>,
    /// The limits, if the response's status may lead to a refund.
    refundable: Option<Box<Admission>>,
}

/// Counts an admitted request in the metrics, adds the [`Decision`] to its extensions, and prepares the
/// work after the response.
pub(super) fn admit(
    config: &Config,
    snapshot: &Arc<Snapshot>,
    limits: AppliedLimits,
    parts: &mut request::Parts,
) -> PostProcess {
    let engine = config.engine();
    engine
        .limiter
        .count(limits.iter().filter_map(AppliedLimit::event));
    let decision = applied_limit::decision(&limits);
    let fields = config.fields(&decision);
    let decided: &mut Decision = parts.extensions.get_or_insert_default();
    decided.limits.extend(decision.limits);
    let plans = snapshot.plan.limits();
    let refunds = |limit: &AppliedLimit| plans.get(limit.index).is_some_and(|l| l.has_refunds());
    let refundable = limits
        .iter()
        .any(refunds)
        .then(|| Box::new(Admission::new(engine, snapshot, limits)));
    PostProcess { fields, refundable }
}

impl PostProcess {
    /// Refunds charges by the response's status, and adds the `RateLimit` fields.
    pub(super) fn apply<R, E>(
        self,
        result: Result<Response<R>, E>,
    ) -> Result<Response<ResponseBody<R>>, E> {
        if let Some(admission) = self.refundable {
            // A service further out turns an error into a 500.
            let status = result
                .as_ref()
                .map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status);
            let plans = admission.snapshot.plan.limits();
            admission.refund(|limit| plans.get(limit.index).is_some_and(|l| l.refunds(status)));
        }
        let mut response = result?.map(ResponseBody::inner);
        if let Some(fields) = self.fields {
            fields.add_to(response.headers_mut());
        }
        Ok(response)
    }
}
