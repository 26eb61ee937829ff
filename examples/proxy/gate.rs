//! Checks and normalises requests before any layer sees them.
//!
//! The layers then see the same target and fields as the origin, so nothing is stored or counted under a name that the
//! origin did not see.

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{Either, Full};
use tower::{Service, ServiceExt};

use crate::{authentication, fields, interim::Turns, refusal::Refusal};

/// Passes valid requests to `app` and answers the others.
pub(crate) async fn enter<S, B, R>(
    app: S,
    turns: Turns,
    request: Request<B>,
) -> Result<Response<Either<R, Full<Bytes>>>, Infallible>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
{
    let mut request = match admit(request) {
        Ok(request) => request,
        Err(response) => return Ok(response.map(Either::Right)),
    };
    // Clients of other versions get no interim responses.
    if request.version() != Version::HTTP_11 {
        return Ok(into_response(app.oneshot(request).await));
    }
    let turn = turns.next();
    request.extensions_mut().insert(turn.clone());
    let result = app.oneshot(request).await;
    turn.end();
    Ok(into_response(result))
}

/// Turns a refusal into a response. Inside the layers it is an error, so that the cache can serve a stale response.
fn into_response<R>(result: Result<Response<R>, Refusal>) -> Response<Either<R, Full<Bytes>>> {
    match result {
        Ok(response) => response.map(Either::Left),
        Err(refusal) => Response::from(refusal).map(Either::Right),
    }
}

/// The request with exactly one host, a target in origin form, and without hop-by-hop fields.
fn admit<B>(mut request: Request<B>) -> Result<Request<B>, Box<Response<Full<Bytes>>>> {
    if !is_forwarded(request.method()) {
        return Err(Box::new(Refusal::Method.into()));
    }
    if authentication::is_bound_to_connection(request.headers()) {
        return Err(Box::new(Refusal::Authentication.into()));
    }
    normalise_target(&mut request).map_err(|refusal| Box::new(refusal.into()))?;
    if request.method() == Method::OPTIONS && !decrement_max_forwards(&mut request) {
        return Err(Box::new(options_response()));
    }
    let trailers = fields::takes_trailers(request.headers());
    fields::remove_hop_by_hop(request.headers_mut());
    if trailers {
        request
            .headers_mut()
            .insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if request.version() == Version::HTTP_10 {
        request.headers_mut().remove(header::EXPECT);
    }
    Ok(request)
}

/// Whether the proxy forwards requests with this method.
///
/// Methods are case-sensitive (RFC 9110, 9.1), but some origins ignore the case. Such an origin would handle `get` as
/// GET, while limits and the cache treat it as an unknown method, so `get` is not forwarded.
fn is_forwarded(method: &Method) -> bool {
    const REGISTERED: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    let registered = REGISTERED
        .iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(method.as_str()));
    registered
        .is_none_or(|known| known == method && !matches!(*method, Method::CONNECT | Method::TRACE))
}

/// Moves the host into `Host`, where the layers and the origin expect it.
fn normalise_target<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let host = host(request)?;
    let path: PathAndQuery = request
        .uri()
        .path_and_query()
        .cloned()
        .ok_or(Refusal::Host)?;
    if path == "*" && request.method() != Method::OPTIONS {
        return Err(Refusal::Asterisk);
    }
    if let Some(host) = host {
        let host = without_default_port(host.as_str(), request.uri().scheme());
        let host = HeaderValue::from_str(host).map_err(|_| Refusal::Host)?;
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

/// Removes the port that the target's scheme implies: the layers do not see the scheme.
fn without_default_port<'a>(host: &'a str, scheme: Option<&Scheme>) -> &'a str {
    let port = match scheme.map(Scheme::as_str) {
        Some("http") => ":80",
        Some("https") => ":443",
        _ => return host,
    };
    host.strip_suffix(port).unwrap_or(host)
}

/// The host that a request names. Only HTTP/1.0 requests may name none.
///
/// The host of an absolute target replaces `Host` (RFC 9112, 3.2.2); in HTTP/2 the two must not differ.
fn host<B>(request: &Request<B>) -> Result<Option<Authority>, Refusal> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    let field = lines
        .next()
        .map(|line| Authority::try_from(line.as_bytes()))
        .transpose();
    let field = field.map_err(|_| Refusal::Host)?;
    let one = match (request.uri().authority(), field) {
        (None, None) if request.version() == Version::HTTP_10 => return Ok(None),
        (None, Some(field)) => field,
        (Some(target), Some(field)) if *target == field => field,
        (Some(target), Some(_)) if request.version() <= Version::HTTP_11 => target.clone(),
        (Some(target), None) if request.version() != Version::HTTP_11 => target.clone(),
        _ => return Err(Refusal::Host),
    };
    let plain = lines.next().is_none() && !one.host().is_empty() && !one.as_str().contains('@');
    if plain {
        Ok(Some(one))
    } else {
        Err(Refusal::Host)
    }
}

/// Decrements `Max-Forwards`. False if it was 0, which addresses the request to this proxy (RFC 9110, 7.6.2).
fn decrement_max_forwards<B>(request: &mut Request<B>) -> bool {
    let left = request
        .headers()
        .get(header::MAX_FORWARDS)
        .and_then(|left| left.to_str().ok()?.parse::<u64>().ok());
    if let Some(left) = left.filter(|left| *left > 0) {
        request
            .headers_mut()
            .insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    left != Some(0)
}

fn options_response() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    response.headers_mut().insert(header::ALLOW, methods);
    response
}
