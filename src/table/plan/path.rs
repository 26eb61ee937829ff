//! Paths in matchit's syntax, with their parameters numbered: two paths that differ only in their
//! parameters' names are one.

/// What a path looks like to the router, and what its author calls the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `/users/{p0}/files/{*p1}`
    pub(crate) canonical: String,
    pub(crate) params: Vec<Param>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) catch_all: bool,
}

impl Shape {
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!(
                "{path:?} does not begin with a slash; write \"/{path}\""
            ));
        }
        if let Some(segment) = path.split('/').find(|s| s.starts_with([':', '*'])) {
            return Err(foreign(path, segment));
        }
        let mut shape = Self {
            canonical: String::new(),
            params: Vec::new(),
        };
        let mut rest = path;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            shape.canonical.push_str(before);
            rest = match brace.get(..2) {
                Some(escape @ ("{{" | "}}")) => {
                    shape.canonical.push_str(escape);
                    &brace[2..]
                }
                _ => shape.param(path, brace)?,
            };
        }
        shape.canonical.push_str(rest);
        Ok(shape)
    }

    /// Takes the parameter at the beginning of `brace`.
    fn param<'a>(&mut self, path: &str, brace: &'a str) -> Result<&'a str, String> {
        let lone = || {
            format!(
                "{path:?} has a lone brace; write \"{{name}}\" for a parameter, \"{{{{\" for a brace"
            )
        };
        let (inside, rest) = brace
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
            .ok_or_else(lone)?;
        let name = inside.strip_prefix('*').unwrap_or(inside);
        let catch_all = name.len() < inside.len();
        if !is_name(name) {
            return Err(format!(
                "{path:?} has a parameter {name:?}; write a name of letters, digits and `_`"
            ));
        }
        if self.params.iter().any(|p| p.name == name) {
            return Err(format!(
                "{path:?} has two parameters {name:?}; name them apart"
            ));
        }
        let star = if catch_all { "*" } else { "" };
        self.canonical
            .push_str(&format!("{{{star}{}}}", canonical(self.params.len())));
        self.params.push(Param {
            name: name.to_owned(),
            catch_all,
        });
        Ok(rest)
    }
}

/// `/:id` and `/*rest` of other routers, which would match themselves alone.
fn foreign(path: &str, segment: &str) -> String {
    let (star, name, else_) = match segment.strip_prefix('*') {
        Some(name) => ("*", name, "rest"),
        None => ("", &segment[1..], "id"),
    };
    let name = if is_name(name) { name } else { else_ };
    let instead = path.replacen(segment, &format!("{{{star}{name}}}"), 1);
    format!("{path:?} has no parameter, and matches itself alone; write {instead:?}")
}

/// What the router knows the parameter of that number by.
pub(super) fn canonical(number: usize) -> String {
    format!("p{number}")
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Why the router does not take a path.
pub(crate) fn refusal(path: &str, error: &matchit::InsertError) -> String {
    match error {
        matchit::InsertError::Conflict { .. } => {
            format!(
                "{path:?} cannot be told from another route's path; give both the same shape, or hosts"
            )
        }
        other => {
            let mut reason = other.to_string();
            reason[..1].make_ascii_lowercase();
            format!("{path:?}: {reason}; write \"/users/{{id}}\" or \"/files/{{*path}}\"")
        }
    }
}
