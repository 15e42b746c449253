//! What a template says about its zygote: the interpreter that is started once, with the template's
//! packages imported, and then copied into sandboxes.

use serde::{Deserialize, Serialize};

/// The most modules that are imported.
const MAX_MODULES: usize = 64;

/// The longest name of a module, in bytes.
const MAX_NAME: usize = 100;

/// A template's zygote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zygote {
    /// The Python interpreter, an absolute path in the tree.
    pub python: String,
    /// The directory with the Python kernel's package, an absolute path in the tree; none where
    /// copies run scripts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<String>,
    /// The modules that it imports.
    #[serde(default)]
    pub preload: Vec<String>,
}

impl Zygote {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        if !absolute(&self.python) || !self.kernels.as_deref().is_none_or(absolute) {
            return Err("paths of the zygote must be absolute".to_owned());
        }
        if self.preload.len() > MAX_MODULES {
            return Err(format!("a zygote imports {MAX_MODULES} modules at most"));
        }
        match self.preload.iter().find(|name| !is_module(name)) {
            Some(name) => Err(format!("{name:?} is not the name of a module")),
            None => Ok(()),
        }
    }
}

/// Whether a name is one that Python can import.
fn is_module(name: &str) -> bool {
    let part = |part: &str| {
        let first = part.bytes().next();
        first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.len() <= MAX_NAME && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zygote(python: &str, preload: &[&str]) -> Zygote {
        Zygote {
            python: python.to_owned(),
            kernels: None,
            preload: preload.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn only_what_python_can_import_is_taken() {
        assert_eq!(
            zygote("/usr/bin/python3", &["numpy", "a_1.b"]).check(),
            Ok(())
        );
        for wrong in ["", "a.", "1a", "a b", "a,b", "-c", "os;x"] {
            assert!(zygote("/p", &[wrong]).check().is_err(), "{wrong:?}");
        }
        assert!(zygote("python3", &[]).check().is_err());
        assert!(zygote("/p", &["a"; 65]).check().is_err());
    }
}
