use std::{borrow::Cow, sync::Arc};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header::COOKIE};

use super::plan::IdentityPlan;
use crate::key::hash;

/// The verified user of a request: an extension that the application's authentication sets.
///
/// It decides which stored responses may answer the request (`scope = "user"`) and which user's limits
/// count it. Set it only after the identity has been verified.
///
/// ```
/// use tower_keep::UserId;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(UserId::new("user-123").plan("pro"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId {
    id: Arc<str>,
    plan: Option<Arc<str>>,
}

impl UserId {
    /// Creates the user with this name. An empty name counts as no user.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            plan: None,
        }
    }

    /// Sets the user's plan, which selects a quota from a limit's `plans`.
    #[must_use]
    pub fn plan(mut self, name: impl Into<Arc<str>>) -> Self {
        self.plan = Some(name.into());
        self
    }

    /// The user's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }
}

/// The user of a request, by the source of the name.
#[derive(Clone, Debug)]
pub(crate) enum User<'a> {
    /// The request's [`UserId`] extension, or the result of the function given to
    /// [`Keep::identify`](crate::Keep::identify).
    Known(Cow<'a, UserId>),
    /// The value of the configured header, which a gateway sets.
    Header(&'a str),
    /// `#` and 32 hexadecimal digits of the hash of the request's credentials, which nothing has verified.
    Unverified([u8; 33]),
}

impl User<'_> {
    /// The name in keys, before encoding.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Known(user) => &user.id,
            Self::Header(id) => id,
            Self::Unverified(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }

    pub(crate) fn plan(&self) -> Option<&str> {
        match self {
            Self::Known(user) => user.plan.as_deref(),
            Self::Header(_) | Self::Unverified(_) => None,
        }
    }

    /// Whether the name has been verified. Limits count only verified users.
    pub(crate) fn is_verified(&self) -> bool {
        !matches!(self, Self::Unverified(_))
    }
}

/// The request's user: from the extension, else from `identify`, else from the configured header,
/// else, if the table has `unverified = true`, a hash of the credentials.
pub(crate) fn user<'a>(
    extensions: &'a Extensions,
    headers: &'a HeaderMap,
    query: Option<&str>,
    identity: &IdentityPlan,
    identify: impl FnOnce() -> Option<UserId>,
) -> Option<User<'a>> {
    let has_name = |user: &Cow<'_, UserId>| !user.id.is_empty();
    let extension = extensions.get().map(Cow::Borrowed).filter(has_name);
    let known = extension.or_else(|| identify().map(Cow::Owned).filter(has_name));
    let header = || {
        let line = only_line(headers, identity.header.as_ref()?)?;
        let id = line.to_str().ok()?.trim();
        (!id.is_empty()).then_some(User::Header(id))
    };
    let unverified = || {
        let hashes = identity.unverified;
        hashes
            .then(|| unverified(headers, query, identity))
            .flatten()
    };
    known.map(User::Known).or_else(header).or_else(unverified)
}

/// The value of a field that has exactly one line. With two lines, the client may have sent one of them.
fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// The user that a hash of all credentials names; a cookie alone names none. All, because one of them
/// may be the same for all users, as the password of a test server.
fn unverified<'a>(
    headers: &HeaderMap,
    query: Option<&str>,
    identity: &IdentityPlan,
) -> Option<User<'a>> {
    if !identity.has_credentials(headers, query) {
        return None;
    }
    let is_hashed = |name: &&HeaderName| identity.is_credential(name) || **name == COOKIE;
    let mut names: Vec<&HeaderName> = headers.keys().filter(is_hashed).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let mut hashed = Vec::new();
    for name in names {
        push_part(name.as_str().as_bytes(), &mut hashed);
        match *name {
            // HTTP/2 may split the cookies into several fields (RFC 9113 section 8.2.3).
            COOKIE => {
                let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
                push_part(&lines.collect::<Vec<_>>().join(&b"; "[..]), &mut hashed);
            }
            _ => push_part(only_line(headers, name)?.as_bytes(), &mut hashed),
        }
    }
    for parameter in query
        .iter()
        .flat_map(|query| identity.credentials.parameters(query))
    {
        push_part(parameter.as_bytes(), &mut hashed);
    }
    let mut id = [b'#'; 33];
    id[1..].copy_from_slice(&hash::long(&hashed));
    Some(User::Unverified(id))
}

/// Appends the length first, so that different parts never make the same bytes.
fn push_part(part: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&part.len().to_be_bytes());
    to.extend_from_slice(part);
}
