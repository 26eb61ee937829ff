//! Tables from TOML, and the lines of what is wrong in them.

use std::{fs, ops::Range, path::Path};

use toml::de::DeTable;

use super::{Table, config::Fields, plan::Plan, problem::At, remedy};
use crate::error::Error;

/// The largest file read, in bytes.
const LARGEST: u64 = 4 << 20;

pub(super) fn file(path: &Path) -> Result<Table, Error> {
    let name = path.display().to_string();
    let unreadable =
        |error| Error::config(format!("{name}: the table cannot be read")).with_source(error);
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > LARGEST {
        return Err(Error::config(format!(
            "{name}: {length} bytes are no table; write at most {LARGEST}"
        )));
    }
    let content = fs::read_to_string(path).map_err(unreadable)?;
    text(&content, Some(&name))
}

pub(super) fn text(content: &str, file: Option<&str>) -> Result<Table, Error> {
    let fields: Fields = toml::from_str(content).map_err(|error| unread(&error, content, file))?;
    let (_, problems) = Plan::of(&fields);
    match problems.into_iter().next() {
        None => Ok(Table(fields)),
        Some(problem) => {
            let span = span_of(content, &problem.at);
            Err(Error::config(format!(
                "{}{problem}",
                place(content, file, span)
            )))
        }
    }
}

/// It says all that toml says, which as a source would be printed a second time.
fn unread(error: &toml::de::Error, content: &str, file: Option<&str>) -> Error {
    let span = error.span();
    let found = span.clone().and_then(|span| content.get(span));
    let start = span.as_ref().map_or(0, |span| span.start);
    let before = content.get(..start).unwrap_or_default();
    let line = &content[before.rfind('\n').map_or(0, |at| at + 1)..];
    let line = line.lines().next().unwrap_or_default();
    let message = remedy::of(error.message(), found.unwrap_or_default(), line);
    Error::config(format!("{}{message}", place(content, file, span)))
}

/// `keep.toml:12: `, or `line 12: `.
fn place(content: &str, file: Option<&str>, span: Option<Range<usize>>) -> String {
    let line = span.map(|span| {
        let before = content.get(..span.start).unwrap_or(content);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    });
    match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        (None, Some(line)) => format!("line {line}: "),
        (None, None) => String::new(),
    }
}

/// Spans are looked for only when there is something to report: nothing carries them otherwise.
fn span_of(content: &str, at: &At) -> Option<Range<usize>> {
    let document = DeTable::parse(content).ok()?;
    let table = document.get_ref();
    match at {
        At::Top(name) => field_span(table, name),
        At::Section(section, name) => {
            let section = table.get(*section)?;
            let inner = section.get_ref().as_table()?;
            field_span(inner, name).or_else(|| Some(section.span()))
        }
        At::Item {
            list, index, field, ..
        } => {
            let item = table.get(*list)?.get_ref().as_array()?.get(*index)?;
            let inner = item.get_ref().as_table()?;
            field_span(inner, field).or_else(|| Some(item.span()))
        }
    }
}

fn field_span(table: &DeTable<'_>, name: &str) -> Option<Range<usize>> {
    table
        .iter()
        .find(|(key, _)| key.get_ref().as_ref() == name)
        .map(|(key, _)| key.span())
}
