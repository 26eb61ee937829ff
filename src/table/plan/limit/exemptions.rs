use ipnet::IpNet;

use super::path_pattern::insert_path;
use crate::table::plan::fields;

/// The requests that a limit does not count.
#[derive(Debug, Default)]
pub(crate) struct Exemptions {
    pub(crate) users: Box<[Box<str>]>,
    pub(crate) nets: Box<[IpNet]>,
    paths: matchit::Router<()>,
    any_path: bool,
}

impl Exemptions {
    pub(super) fn compile(list: &[String]) -> Result<Self, String> {
        let (mut users, mut nets) = (Vec::<Box<str>>::new(), Vec::new());
        let mut exempt = Self::default();
        for text in list {
            match text.split_once(':') {
                Some(("user", id)) if !id.is_empty() => users.push(id.into()),
                Some(("ip", net)) => nets.push(fields::net(net)?),
                Some(("path", pattern)) => {
                    insert_path(&mut exempt.paths, pattern)?;
                    exempt.any_path = true;
                }
                _ => {
                    return Err(format!(
                        "{text:?} exempts nothing; write \"user:admin\", \"ip:10.0.0.0/8\" or \"path:/healthz\""
                    ));
                }
            }
        }
        exempt.users = users.into();
        exempt.nets = nets.into();
        Ok(exempt)
    }

    #[inline]
    pub(super) fn has_path(&self, path: &str) -> bool {
        self.any_path && self.paths.at(path).is_ok()
    }
}
