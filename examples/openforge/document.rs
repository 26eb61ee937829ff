//! Free-form JSON documents, one per owner, changed by merge patch (RFC 7396).

use serde_json::Value;

use crate::{
    call::Call,
    database::Statements,
    problem::Problem,
    record::{STAMP_CHANGE, check_stamps},
    reply::Reply,
};

/// A table with one JSON document per row.
#[derive(Debug)]
pub(crate) struct Document {
    /// The name of a document in messages.
    pub(crate) noun: &'static str,
    pub(crate) table: &'static str,
    /// The placeholder in the route, and the column that it selects by.
    pub(crate) key: (&'static str, &'static str),
}

impl Document {
    /// `GET` of the whole document.
    pub(crate) fn read(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        Ok(Reply::ok(&self.row(db, call)?))
    }

    /// `PUT` of some members: `null` removes a member; members that are not given stay.
    pub(crate) fn update(&self, db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
        let current = self.row(db, call)?;
        call.check_if_match(&current)?;
        let mut changes = call.object()?;
        check_stamps(&changes, &current)?;
        for own in [self.key.1, "version", "updated_at"] {
            if changes
                .remove(own)
                .is_some_and(|given| given != current[own])
            {
                return Err(Problem::unprocessable(format!("{own} cannot be set")));
            }
        }
        let sql = format!(
            "UPDATE {} SET {STAMP_CHANGE}, document = json_patch(document, ?) WHERE {} = ?",
            self.table, self.key.1,
        );
        db.change(
            &sql,
            (Value::Object(changes).to_string(), call.path(self.key.0)),
        )?;
        self.read(db, call)
    }

    /// The document that the path names, with its key, version and modification time.
    pub(crate) fn row(&self, db: &Statements<'_>, call: &Call) -> Result<Value, Problem> {
        let (placeholder, column) = self.key;
        let sql = format!(
            "SELECT json_patch(document, json_object('{column}', {column}, 'version', version, 'updated_at', updated_at))
             FROM {} WHERE {column} = ?",
            self.table,
        );
        db.one(&sql, [call.path(placeholder)])?
            .ok_or_else(|| Problem::not_found(self.noun))
    }
}
