use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};

use super::IdentityPlan;
use crate::key::hash;

/// A verified user: a request extension that the application's authentication sets.
///
/// It decides whose stored responses a request may be served (`scope = "user"`), and whose limits
/// it counts against. Set it only once the identity is proved.
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
    /// The user of that name; an empty one is nobody.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            plan: None,
        }
    }

    /// The plan whose limits are the user's, as a limit's `plans` names it.
    #[must_use]
    pub fn plan(mut self, name: impl Into<Arc<str>>) -> Self {
        self.plan = Some(name.into());
        self
    }

    /// What was given to [`new`](Self::new).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }
}

/// Who a request's user is, however that was found out.
#[derive(Clone, Debug)]
pub(crate) enum User<'a> {
    /// The request's extension.
    Extension(&'a UserId),
    /// What the application's function answered.
    Identified(UserId),
    /// What a gateway wrote into the configured header.
    Header(&'a str),
    /// `#` and 32 digits of the hash of `Authorization`: nobody has proved anything.
    Unverified([u8; 33]),
}

impl User<'_> {
    /// As it goes into keys, before encoding.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Extension(user) => &user.id,
            Self::Identified(user) => &user.id,
            Self::Header(id) => id,
            Self::Unverified(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }

    pub(crate) fn plan(&self) -> Option<&str> {
        match self {
            Self::Extension(user) => user.plan.as_deref(),
            Self::Identified(user) => user.plan.as_deref(),
            Self::Header(_) | Self::Unverified(_) => None,
        }
    }

    /// Whether somebody vouches for it: limits count only these as users.
    pub(crate) fn is_verified(&self) -> bool {
        !matches!(self, Self::Unverified(_))
    }
}

/// The request's user: the extension, else what `identify` answers, else the configured header,
/// else, if the table says `unverified = true`, a hash of `Authorization`.
pub(crate) fn user<'a>(
    extensions: &'a Extensions,
    headers: &'a HeaderMap,
    identity: &IdentityPlan,
    identify: impl FnOnce() -> Option<UserId>,
) -> Option<User<'a>> {
    let set = extensions
        .get::<UserId>()
        .filter(|user| !user.id.is_empty());
    if let Some(user) = set {
        return Some(User::Extension(user));
    }
    if let Some(user) = identify().filter(|user| !user.id.is_empty()) {
        return Some(User::Identified(user));
    }
    if let Some(id) = identity
        .header
        .as_ref()
        .and_then(|name| only_line(headers, name))
    {
        return Some(User::Header(id));
    }
    identity.unverified.then(|| credentials(headers)).flatten()
}

/// A field that has exactly one line: of two, one may be the client's own.
fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?.trim();
    (lines.next().is_none() && !line.is_empty()).then_some(line)
}

fn credentials<'a>(headers: &HeaderMap) -> Option<User<'a>> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let digits = hash::long(lines.next()?.as_bytes());
    if lines.next().is_some() {
        return None;
    }
    let mut id = [b'#'; 33];
    id[1..].copy_from_slice(&digits);
    Some(User::Unverified(id))
}
