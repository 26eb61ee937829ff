use ipnet::IpNet;

use super::limit_path::insert_path;
use crate::{key::PathReadings, table::plan::fields};

/// The requests that a limit does not count.
#[derive(Debug, Default)]
pub(crate) struct Exemptions {
    pub(crate) users: Vec<Box<str>>,
    pub(crate) nets: Vec<IpNet>,
    paths: matchit::Router<()>,
    any_path: bool,
}

impl Exemptions {
    pub(super) fn compile(list: &[String]) -> Result<Self, String> {
        let mut exempt = Self::default();
        for text in list {
            match text.split_once(':') {
                Some(("user", id)) if !id.is_empty() => exempt.users.push(id.into()),
                Some(("ip", net)) => exempt.nets.push(fields::net(net)?),
                Some(("path", pattern)) => {
                    insert_path(&mut exempt.paths, pattern)?;
                    exempt.any_path = true;
                }
                _ => {
                    return Err(format!(
                        "{text:?} is not an exemption; write \"user:admin\", \"ip:10.0.0.0/8\" or \"path:/healthz\""
                    ));
                }
            }
        }
        Ok(exempt)
    }

    /// Whether every path that a server may read is exempt.
    #[inline]
    pub(super) fn has_path(&self, paths: &PathReadings<'_>) -> bool {
        self.any_path && paths.iter().all(|path| self.paths.at(path).is_ok())
    }
}
