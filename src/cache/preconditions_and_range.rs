//! Evaluating the preconditions and the range of a request on a response.

use http::{HeaderMap, Response, StatusCode, header};

use super::{cache_request::CacheRequest, request_constraints::RequestConstraints};
use crate::{
    clock::Timestamp,
    message::response_body::{ResponseBody, response},
    semantics::{
        byteranges,
        cache_status::CACHE_STATUS,
        conditional,
        range::{self, Selection, Spans},
        stored_response::StoredResponse,
    },
    store::entry::Entry,
};

/// Answers with a stored response in the form that the request asks for: a 304 (Not Modified), a
/// range, the head alone, or the whole. `None` if only a part is stored and it lacks requested
/// bytes.
pub(super) fn answer_in_form<B>(
    constraints: &RequestConstraints,
    entry: &Entry,
    stored: &StoredResponse,
    request: &HeaderMap,
    mut fields: HeaderMap,
) -> Option<Response<ResponseBody<B>>> {
    let form = constraints.form;
    let is_complete = stored.part.is_none();
    if form.conditional && is_complete {
        let (status, headers) = (stored.status, &stored.headers);
        if conditional::is_not_modified(request, status, headers, entry.stored) {
            conditional::make_not_modified(&mut fields);
            let body = ResponseBody::empty();
            return Some(response(StatusCode::NOT_MODIFIED, fields, body));
        }
    }
    if form.head {
        return is_complete.then(|| response(stored.status, fields, ResponseBody::empty()));
    }
    match range::select(request, stored) {
        Selection::Whole => Some(response(stored.status, fields, whole_body(stored))),
        Selection::Spans(spans) => Some(partial_content(&spans, stored, fields)),
        Selection::Unsatisfiable(complete) => Some(range_not_satisfiable(complete, &fields)),
        Selection::Missing => None,
    }
}

fn whole_body<B>(stored: &StoredResponse) -> ResponseBody<B> {
    let body = stored.body.clone();
    match &stored.trailers {
        None => ResponseBody::full(body),
        trailers => ResponseBody::chunks([body].into(), trailers.clone()),
    }
}

fn partial_content<B>(
    spans: &Spans,
    stored: &StoredResponse,
    mut fields: HeaderMap,
) -> Response<ResponseBody<B>> {
    let boundary = format!("{:032x}", fastrand::u128(..));
    let pieces = byteranges::partial_content(spans, stored, &boundary, &mut fields);
    let body = ResponseBody::chunks(pieces.into_iter().collect(), None);
    response(StatusCode::PARTIAL_CONTENT, fields, body)
}

fn range_not_satisfiable<B>(complete: u64, stored: &HeaderMap) -> Response<ResponseBody<B>> {
    let mut fields = byteranges::unsatisfiable_head(complete);
    for name in [header::DATE, header::AGE, CACHE_STATUS] {
        for value in stored.get_all(&name) {
            fields.append(&name, value.clone());
        }
    }
    response(
        StatusCode::RANGE_NOT_SATISFIABLE,
        fields,
        ResponseBody::empty(),
    )
}

/// Evaluates the client's preconditions, which were not forwarded, on a whole response that was
/// received at `received`.
pub(super) fn evaluate_preconditions<B>(
    request: &CacheRequest,
    headers: &HeaderMap,
    mut response: Response<ResponseBody<B>>,
    received: Timestamp,
) -> Response<ResponseBody<B>> {
    if !request.constraints.form.conditional {
        return response;
    }
    if conditional::is_not_modified(headers, response.status(), response.headers(), received) {
        conditional::make_not_modified(response.headers_mut());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = ResponseBody::empty();
    }
    response
}
