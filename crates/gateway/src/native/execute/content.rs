//! Contents and files of a request: text, or bytes in base64.

use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use soulbox_node::execute::program::{Content as FileContent, HOME, ProgramFile};
use std::borrow::Cow;
use std::fmt;

/// The longest path of a file, in bytes: Linux's own bound of a path is 4,096 with its end.
const LONGEST_PATH: usize = 4095;

/// Text, or bytes as `{"base64": "…"}`.
#[derive(Debug)]
pub(super) enum Content<'b> {
    Text(Cow<'b, str>),
    Bytes(Vec<u8>),
}

/// Files: `{path: content}`, or a list of `{"path", "content" | "base64", "executable"}`.
#[derive(Debug, Default)]
pub(super) struct Files<'b>(Vec<File<'b>>);

#[derive(Debug)]
struct File<'b> {
    path: String,
    content: Content<'b>,
    executable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed<'b> {
    path: String,
    #[serde(borrow)]
    content: Option<Content<'b>>,
    base64: Option<String>,
    #[serde(default)]
    executable: bool,
}

/// A path of a file in the sandbox: absolute, or below the home; without steps that lead up.
pub(super) fn check_path(field: &str, path: &str) -> Result<(), ApiError> {
    let shown: String = path.chars().take(100).collect();
    let bad = |what: &str| Err(ApiError::bad(format!("{field}: {shown:?} {what}")));
    if path.is_empty() || path.ends_with('/') {
        return bad("names no file");
    }
    if path.contains('\0') {
        return bad("must not hold NUL");
    }
    if path.len() > LONGEST_PATH {
        return bad("is too long");
    }
    match path.split('/').any(|part| part == "..") {
        true => bad("must not hold a step that leads up (..)"),
        false => Ok(()),
    }
}

impl<'b> Files<'b> {
    pub(super) fn into_files(self, body: &Bytes, most: u32) -> Result<Vec<ProgramFile>, ApiError> {
        if self.0.len() > most as usize {
            return Err(ApiError::bad(format!(
                "files: there are more than {most} (setting execute.files)"
            )));
        }
        let file = |file: File<'b>| {
            check_path("files", &file.path)?;
            // One place has one name.
            let parts = file
                .path
                .split('/')
                .filter(|part| !matches!(*part, "" | "."));
            let parts = parts.collect::<Vec<_>>().join("/");
            Ok(ProgramFile {
                remote: match file.path.starts_with('/') {
                    true => format!("/{parts}"),
                    false => format!("{HOME}/{parts}"),
                },
                content: FileContent::Bytes(file.content.into_bytes(body)),
                executable: file.executable,
            })
        };
        self.0.into_iter().map(file).collect()
    }
}

impl Content<'_> {
    /// The bytes; a part of `body`, which this was read from, where that holds them as they are.
    pub(super) fn into_bytes(self, body: &Bytes) -> Bytes {
        match self {
            // What was borrowed lies in the body; anything else would be a mistake of ours, and is copied.
            Self::Text(Cow::Borrowed(text)) => {
                let (whole, part) = (body.as_ptr_range(), text.as_bytes().as_ptr_range());
                match whole.start <= part.start && part.end <= whole.end {
                    true => body.slice_ref(text.as_bytes()),
                    false => Bytes::copy_from_slice(text.as_bytes()),
                }
            }
            Self::Text(Cow::Owned(text)) => Bytes::from(text),
            Self::Bytes(bytes) => Bytes::from(bytes),
        }
    }
}

fn decode<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
    STANDARD
        .decode(text)
        .map_err(|error| E::custom(format!("base64: {error}")))
}

impl<'de: 'b, 'b> Deserialize<'de> for Content<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or bytes as {\"base64\": …}")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content<'de>, A::Error> {
                let mut bytes = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "base64" || bytes.is_some() {
                        return Err(A::Error::custom("it has one field, base64"));
                    }
                    bytes = Some(decode(&map.next_value::<String>()?)?);
                }
                bytes
                    .map(Content::Bytes)
                    .ok_or_else(|| A::Error::custom("it has one field, base64"))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Files<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Files<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of paths with contents, or a list of files")
            }

            fn visit_unit<E>(self) -> Result<Files<'de>, E> {
                Ok(Files::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files<'de>, A::Error> {
                let mut files = Vec::new();
                while let Some((path, content)) = map.next_entry()? {
                    files.push(File {
                        path,
                        content,
                        executable: false,
                    });
                }
                Ok(Files(files))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files<'de>, A::Error> {
                let mut files = Vec::new();
                while let Some(listed) = list.next_element::<Listed<'de>>()? {
                    let content = match (listed.content, listed.base64) {
                        (Some(content), None) => content,
                        (None, Some(text)) => Content::Bytes(decode(&text)?),
                        _ => return Err(A::Error::custom("give either content or base64")),
                    };
                    files.push(File {
                        path: listed.path,
                        content,
                        executable: listed.executable,
                    });
                }
                Ok(Files(files))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
