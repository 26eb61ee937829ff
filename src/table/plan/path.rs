//! Parses paths in matchit's syntax.
//!
//! Parameters are numbered, so that paths which differ only in the names of parameters are equal.

/// A parsed path of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    /// The path as the router gets it: `/users/{p0}/files/{*p1}`.
    pub(crate) shape: String,
    /// The parameters as the table names them.
    pub(crate) params: Vec<PathParam>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathParam {
    pub(crate) name: String,
    pub(crate) catch_all: bool,
}

impl PathPattern {
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!(
                "{path:?} does not begin with a slash; write \"/{path}\""
            ));
        }
        if let Some(segment) = path.split('/').find(|s| s.starts_with([':', '*'])) {
            return Err(foreign_syntax(path, segment));
        }
        let mut pattern = Self {
            shape: String::new(),
            params: Vec::new(),
        };
        let mut rest = path;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            pattern.shape.push_str(before);
            rest = match brace.get(..2) {
                Some(escape @ ("{{" | "}}")) => {
                    pattern.shape.push_str(escape);
                    &brace[2..]
                }
                _ => pattern.param(path, brace)?,
            };
        }
        pattern.shape.push_str(rest);
        Ok(pattern)
    }

    /// Parses the parameter at the beginning of `brace`, and returns the rest.
    fn param<'a>(&mut self, path: &str, brace: &'a str) -> Result<&'a str, String> {
        let unmatched = || {
            format!(
                "{path:?} has an unmatched brace; write \"{{name}}\" for a parameter, \"{{{{\" for a brace"
            )
        };
        let (inside, rest) = brace
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
            .ok_or_else(unmatched)?;
        let name = inside.strip_prefix('*').unwrap_or(inside);
        let catch_all = name.len() < inside.len();
        if !is_name(name) {
            return Err(format!(
                "{path:?} has a parameter {name:?}; write a name of letters, digits and `_`"
            ));
        }
        if self.params.iter().any(|p| p.name == name) {
            return Err(format!(
                "{path:?} has two parameters {name:?}; give them different names"
            ));
        }
        let star = if catch_all { "*" } else { "" };
        self.shape
            .push_str(&format!("{{{star}{}}}", param_name(self.params.len())));
        self.params.push(PathParam {
            name: name.to_owned(),
            catch_all,
        });
        Ok(rest)
    }
}

/// The error for `/:id` and `/*rest`, the syntax of other routers, which would match only
/// literally.
fn foreign_syntax(path: &str, segment: &str) -> String {
    let (star, name, example) = match segment.strip_prefix('*') {
        Some(name) => ("*", name, "rest"),
        None => ("", &segment[1..], "id"),
    };
    let name = if is_name(name) { name } else { example };
    let instead = path.replacen(segment, &format!("{{{star}{name}}}"), 1);
    format!("{path:?} has no parameter, and matches only this literal path; write {instead:?}")
}

/// The name of a parameter in the router.
pub(super) fn param_name(number: usize) -> String {
    format!("p{number}")
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The error for a path that the router rejects.
pub(crate) fn refusal(path: &str, error: &matchit::InsertError) -> String {
    match error {
        matchit::InsertError::Conflict { .. } => {
            format!(
                "{path:?} matches the same requests as another route's path; give both the same shape, or different hosts"
            )
        }
        other => {
            let mut reason = other.to_string();
            reason[..1].make_ascii_lowercase();
            format!("{path:?}: {reason}; write \"/users/{{id}}\" or \"/files/{{*path}}\"")
        }
    }
}
