use http::{HeaderName, header::COOKIE};

use super::{fields, template::Template, value_source::ValueSource};
use crate::{
    identity::IdentityPlan,
    semantics::stored_fields::is_hop_by_hop,
    table::{
        problem::FieldProblem,
        route::Route,
        route_options::{PendingMode, Write},
    },
};

/// The settings of a route with `write = "behind"`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BehindRoute {
    pub(crate) pending: PendingMode,
    /// The field of the response's JSON object that holds the array; `None` if the response is one.
    pub(crate) pending_field: Option<Box<str>>,
    /// The field by which an element of the array is recognised.
    pub(crate) pending_id: Option<Box<str>>,
    pub(crate) coalesce: bool,
    /// Request fields that are kept beside the built-in ones.
    pub(crate) keep_fields: Box<[HeaderName]>,
}

impl BehindRoute {
    /// Compiles the settings of a route; `None` if its writes are not applied later. Invalid settings are
    /// errors in any case.
    pub(super) fn compile(
        route: &Route,
        key: Option<&Template>,
        identity: &IdentityPlan,
    ) -> Result<Option<Self>, FieldProblem> {
        let keep_fields = fields::headers(&route.keep_fields).map_err(|m| ("keep_fields", m))?;
        for name in &keep_fields {
            check_kept(name, identity).map_err(|message| ("keep_fields", message))?;
        }
        let pending_field = json_field("pending_field", route.pending_field.as_deref())?;
        let pending_id = json_field("pending_id", route.pending_id.as_deref())?;
        if route.write != Write::Behind {
            return Ok(None);
        }
        check_route(route)?;
        check_key(key)?;
        Ok(Some(Self {
            pending: route.pending,
            pending_field,
            pending_id,
            coalesce: route.coalesce,
            keep_fields,
        }))
    }
}

/// Rejects fields that must not be stored, or that concern only the connection of the client.
fn check_kept(name: &HeaderName, identity: &IdentityPlan) -> Result<(), String> {
    if *name == COOKIE || identity.is_credential(name) {
        return Err(format!(
            "\"{name}\" is a credential, and credentials are not stored; leave it out: the worker restores the verified user"
        ));
    }
    if is_hop_by_hop(name) {
        return Err(format!(
            "\"{name}\" concerns the client's connection, not the write; leave it out"
        ));
    }
    Ok(())
}

/// The name of a field in a JSON object.
fn json_field(setting: &'static str, name: Option<&str>) -> Result<Option<Box<str>>, FieldProblem> {
    match name {
        Some("") => {
            let message = "an empty name is not a field of the JSON; write its name, as \"id\", or leave it out";
            Err((setting, message.to_owned()))
        }
        name => Ok(name.map(Into::into)),
    }
}

/// Rejects paths that have no writes, or whose clients need the answer.
fn check_route(route: &Route) -> Result<(), FieldProblem> {
    if route.grpc.is_some() {
        let message = "a gRPC call needs its answer, so it cannot be applied later; leave out `grpc`, or write = \"behind\"";
        return Err(("write", message.to_owned()));
    }
    let is_write = |method: &&String| WRITES.contains(&method.as_str());
    match route.safe_methods.iter().find(is_write) {
        None => Ok(()),
        Some(method) => Err((
            "safe_methods",
            format!(
                "{method} changes nothing on this path, so it cannot be a write that is applied later; take it out, or leave out write = \"behind\""
            ),
        )),
    }
}

/// The methods whose requests are applied later.
const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Writes of one key are applied in order, so each needs a key, and one that does not depend on its content.
fn check_key(key: Option<&Template>) -> Result<(), FieldProblem> {
    let Some(key) = key else {
        let message = "writes are applied in order per key, so \"behind\" needs one; write key = \"agent:{id}:activity\" with the parameters of the path";
        return Err(("write", message.to_owned()));
    };
    if key.contains(&ValueSource::Body) {
        let message = "with {#body} each write has a key of its own, so writes of one resource would not be applied in order; take {#body} out, or leave out write = \"behind\"";
        return Err(("key", message.to_owned()));
    }
    Ok(())
}
