//! RUN's `--mount=type=…,name=value,…`.

use super::error::Problem;
use crate::steps::{CopyFrom, RunMount};

/// A mount as it is written; variables in it are replaced, but not in `type` and `from`.
pub(super) struct Written {
    kind: String,
    from: Option<String>,
    rest: Vec<(String, String)>,
}

impl Written {
    /// Reads one `--mount`.
    pub(super) fn parse(
        text: &str,
        replace: &mut dyn FnMut(&str) -> Result<String, Problem>,
    ) -> Result<Self, Problem> {
        let mut written = Self {
            kind: "bind".to_owned(),
            from: None,
            rest: Vec::new(),
        };
        for field in text.split(',') {
            let (name, value) = match field.split_once('=') {
                Some((name, value)) => (name.trim().to_ascii_lowercase(), value.trim()),
                None => (field.trim().to_ascii_lowercase(), "true"),
            };
            match name.as_str() {
                "type" => written.kind = value.to_ascii_lowercase(),
                "from" if value.contains('$') => {
                    return Err(Problem::new("from= of a mount cannot hold variables")
                        .help("name a stage: FROM … AS name, and from=name"));
                }
                "from" => written.from = Some(value.to_owned()),
                _ => written.rest.push((name, replace(value)?)),
            }
        }
        Ok(written)
    }

    /// The stage or image that it takes files from.
    pub(super) fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// What it means. `from` is what [`Written::from`] names; `below` makes a path absolute.
    pub(super) fn mount(
        mut self,
        from: CopyFrom,
        below: &dyn Fn(&str) -> String,
    ) -> Result<RunMount, Problem> {
        let kind = self.kind.clone();
        if self.from.is_some() && !matches!(kind.as_str(), "bind" | "cache") {
            return Err(Problem::new(format!("a {kind} mount has no from=")));
        }
        let target = self.one(&["target", "dst", "destination"])?;
        let absolute = target.as_deref().map(below);
        let place = |target: Option<String>| {
            target.ok_or_else(|| {
                Problem::new(format!("a {kind} mount has no target="))
                    .help("say where it shows: target=/path")
            })
        };
        let mount = match kind.as_str() {
            "secret" => {
                let env = self.one(&["env"])?;
                let id = match (self.one(&["id"])?, &absolute) {
                    (Some(id), _) => id,
                    (None, Some(target)) => last_part(target),
                    (None, None) => match &env {
                        Some(env) => env.clone(),
                        None => {
                            return Err(Problem::new("a secret mount has no id=")
                                .help("say which: id=NAME, as in --secret id=NAME,src=FILE"));
                        }
                    },
                };
                let target = match (absolute, &env) {
                    (None, None) => Some(format!("/run/secrets/{id}")),
                    (target, _) => target,
                };
                RunMount::Secret {
                    id,
                    target,
                    env,
                    required: self.switch(&["required"], false)?,
                    mode: self.octal("mode", 0o400)?,
                    uid: self.number("uid")?,
                    gid: self.number("gid")?,
                }
            }
            "ssh" => {
                // Whose it is does not matter: what it leads to is asked by anybody in the step.
                self.octal("mode", 0o600)?;
                self.number("uid")?;
                self.number("gid")?;
                let id = self.one(&["id"])?.unwrap_or_else(|| "default".to_owned());
                RunMount::Ssh {
                    target: absolute.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{id}")),
                    id,
                    required: self.switch(&["required"], false)?,
                }
            }
            "cache" => {
                if self.from.is_some() {
                    return Err(Problem::new("a cache mount with from= is not supported")
                        .help("let the command fill the cache where it is empty"));
                }
                self.octal("mode", 0o755)?;
                self.number("uid")?;
                self.number("gid")?;
                match self.one(&["sharing"])?.as_deref() {
                    None | Some("shared" | "locked" | "private") => {}
                    Some(other) => {
                        return Err(Problem::new(format!(
                            "sharing={other} is none of shared, locked and private"
                        )));
                    }
                }
                let target = place(absolute)?;
                RunMount::Cache {
                    id: self.one(&["id"])?.unwrap_or_else(|| target.clone()),
                    target,
                    read_only: self.read_only(false)?,
                }
            }
            "bind" => {
                if !self.read_only(true)? {
                    return Err(
                        Problem::new("a bind mount that is written to is not supported")
                            .help("copy what the command changes: it would be thrown away anyway"),
                    );
                }
                RunMount::Bind {
                    from,
                    source: self
                        .one(&["source", "src"])?
                        .unwrap_or_else(|| "/".to_owned()),
                    target: place(absolute)?,
                }
            }
            "tmpfs" => {
                self.one(&["size"])?;
                RunMount::Tmpfs {
                    target: place(absolute)?,
                }
            }
            other => {
                return Err(
                    Problem::new(format!("a mount of type {other:?} is not known"))
                        .help("known are bind, cache, secret, ssh and tmpfs"),
                );
            }
        };
        match self.rest.first() {
            None => Ok(mount),
            Some((name, _)) => Err(Problem::new(format!("a {kind} mount has no {name}="))),
        }
    }

    fn one(&mut self, names: &[&str]) -> Result<Option<String>, Problem> {
        let mut found = None;
        let mut twice = false;
        self.rest.retain(|(name, value)| {
            let taken = names.contains(&name.as_str());
            if taken {
                twice |= found.replace(value.clone()).is_some();
            }
            !taken
        });
        match twice {
            true => Err(Problem::new(format!("a mount has {}= twice", names[0]))),
            false => Ok(found),
        }
    }

    fn switch(&mut self, names: &[&str], default: bool) -> Result<bool, Problem> {
        match self.one(names)?.as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(Problem::new(format!(
                "{}={other} is neither true nor false",
                names[0]
            ))),
        }
    }

    fn read_only(&mut self, default: bool) -> Result<bool, Problem> {
        let write = self.switch(&["rw", "readwrite"], !default)?;
        self.switch(&["ro", "readonly"], !write)
    }

    fn octal(&mut self, name: &'static str, default: u32) -> Result<u32, Problem> {
        match self.one(&[name])? {
            None => Ok(default),
            Some(text) => super::mode(&text),
        }
    }

    fn number(&mut self, name: &'static str) -> Result<u32, Problem> {
        match self.one(&[name])? {
            None => Ok(0),
            Some(text) => text
                .parse()
                .map_err(|_| Problem::new(format!("{name}={text} is no number"))),
        }
    }
}

fn last_part(path: &str) -> String {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<RunMount, Problem> {
        let mut same = |word: &str| Ok(word.replace("$x", "y"));
        Written::parse(text, &mut same)?.mount(CopyFrom::Context, &|path| match path {
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => format!("/w/{relative}"),
        })
    }

    #[test]
    fn secrets_are_files_or_variables() {
        let file = RunMount::Secret {
            id: "key".into(),
            target: Some("/run/secrets/key".into()),
            env: None,
            required: false,
            mode: 0o400,
            uid: 0,
            gid: 0,
        };
        assert_eq!(mount("type=secret,id=key").unwrap(), file);
        for (text, id, target, env) in [
            (
                "type=secret,target=/root/.netrc",
                ".netrc",
                Some("/root/.netrc"),
                None,
            ),
            ("type=secret,env=TOKEN", "TOKEN", None, Some("TOKEN")),
            ("type=secret,id=a,env=TOKEN", "a", None, Some("TOKEN")),
            (
                "type=secret,id=a,env=TOKEN,target=b",
                "a",
                Some("/w/b"),
                Some("TOKEN"),
            ),
        ] {
            let expected = RunMount::Secret {
                id: id.into(),
                target: target.map(str::to_owned),
                env: env.map(str::to_owned),
                required: false,
                mode: 0o400,
                uid: 0,
                gid: 0,
            };
            assert_eq!(mount(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_other_types() {
        assert_eq!(
            mount("type=cache,target=/root/$x,sharing=locked").unwrap(),
            RunMount::Cache {
                id: "/root/y".into(),
                target: "/root/y".into(),
                read_only: false
            }
        );
        assert_eq!(
            mount("target=.,source=src").unwrap(),
            RunMount::Bind {
                from: CopyFrom::Context,
                source: "src".into(),
                target: "/w/.".into()
            }
        );
        assert_eq!(
            mount("type=ssh,required").unwrap(),
            RunMount::Ssh {
                id: "default".into(),
                target: "/run/buildkit/ssh_agent.default".into(),
                required: true
            }
        );
        assert_eq!(
            mount("type=tmpfs,dst=/tmp,size=1g").unwrap(),
            RunMount::Tmpfs {
                target: "/tmp".into()
            }
        );
    }

    #[test]
    fn what_a_mount_does_not_have_is_refused() {
        for text in [
            "type=volume,target=/x",
            "type=cache",
            "type=bind",
            "type=secret",
            "type=cache,target=/x,from=a",
            "type=tmpfs,target=/x,from=a",
            "type=bind,target=/x,rw",
            "type=cache,target=/x,mode=abc",
            "type=cache,target=/x,target=/y",
            "type=cache,target=/x,sharing=some",
            "type=secret,id=a,required=maybe",
            "type=secret,id=a,colour=red",
            "type=bind,target=/x,from=$x",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }
}
