//! Frames of the control socket: four bytes of length, big-endian, and that many bytes of JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of JSON in one frame, either way: the protocol's own number.
pub(crate) const LONGEST: usize = 32 * 1024 * 1024;

/// Characters of output in one frame, the protocol's own number.
pub(crate) const PIECE: usize = 64 * 1024;

/// What the agent asks.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Runs a cell.
    Execute {
        id: String,
        code: String,
        #[serde(default)]
        env: Option<BTreeMap<String, String>>,
        #[serde(default)]
        silent: bool,
    },
    /// Sets variables from now on; none takes one away.
    SetEnv {
        id: String,
        env: BTreeMap<String, Option<String>>,
    },
    /// Changes the directory.
    Cd { id: String, path: String },
}

impl Ask {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Execute { id, .. } | Self::SetEnv { id, .. } | Self::Cd { id, .. } => id,
        }
    }
}

/// A frame that is no request: the id to answer to, if it has one, and what is wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) id: Option<String>,
    pub(crate) why: String,
}

/// What the bridge says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Say<'a> {
    Ready {
        protocol: u32,
        pid: u32,
        kernel: &'a str,
    },
    Count {
        id: &'a str,
        execution_count: u64,
    },
    Stdout {
        id: Option<&'a str>,
        text: &'a str,
    },
    Stderr {
        id: Option<&'a str>,
        text: &'a str,
    },
    Result {
        id: &'a str,
        is_main_result: bool,
        data: &'a RawValue,
    },
    Error {
        id: Option<&'a str>,
        name: &'a str,
        value: &'a str,
        traceback: &'a str,
    },
    End {
        id: &'a str,
        status: &'a str,
    },
}

/// The frame with `said`; none when it would be too long.
pub(crate) fn encode(said: &Say<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, said).ok()?;
    let length = bytes.len() - 4;
    let head = u32::try_from(length).ok().filter(|_| length <= LONGEST)?;
    bytes.get_mut(..4)?.copy_from_slice(&head.to_be_bytes());
    Some(bytes)
}

/// Reads the next request; `None` when the agent has closed the socket.
///
/// # Errors
/// Those of the socket, and a length that is too large: what follows cannot be understood any more.
pub(crate) async fn read(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Result<Ask, Wrong>>> {
    let length = match from.read_u32().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LONGEST {
        let text = format!("a frame of {length} bytes is larger than {LONGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut body = Vec::new();
    // What a frame only announces takes no memory.
    let read = from.take(length as u64).read_to_end(&mut body).await?;
    Ok((read == length).then(|| parse(&body)))
}

fn parse(body: &[u8]) -> Result<Ask, Wrong> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    serde_json::from_slice(body).map_err(|error| Wrong {
        id: serde_json::from_slice::<Named>(body)
            .ok()
            .and_then(|named| named.id),
        why: format!("a request must be JSON as the protocol has it: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8]) -> Vec<String> {
        let mut from = bytes;
        let mut told = Vec::new();
        loop {
            match read(&mut from).await {
                Ok(Some(Ok(ask))) => told.push(format!("ask {}", ask.id())),
                Ok(Some(Err(wrong))) => told.push(format!("wrong {:?}", wrong.id)),
                Ok(None) => return told,
                Err(_) => {
                    told.push("broken".to_owned());
                    return told;
                }
            }
        }
    }

    fn framed(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    #[tokio::test]
    async fn requests_are_read_and_others_named() {
        let bytes = [
            framed(r#"{"type":"execute","id":"1","code":"x","env":null}"#),
            framed(r#"{"type":"set_env","id":"2","env":{"A":null}}"#),
            framed("{"),
            framed(r#"{"type":"dance","id":"3"}"#),
            framed(r#"{"type":"cd","id":"4","path":"/"}"#),
        ];
        let told = all(&bytes.concat()).await;
        let expected = ["ask 1", "ask 2", "wrong None", "wrong Some(\"3\")", "ask 4"];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn a_length_that_is_too_large_breaks_the_conversation_and_a_cut_frame_ends_it() {
        assert_eq!(all(&u32::MAX.to_be_bytes()).await, ["broken"]);
        assert!(all(&framed("{}")[..5]).await.is_empty());
    }

    #[test]
    fn frames_have_their_length_in_front() {
        let bytes = encode(&Say::End {
            id: "1",
            status: "ok",
        });
        let text = r#"{"type":"end","id":"1","status":"ok"}"#;
        assert_eq!(bytes.unwrap(), framed(text));
        let long = "x".repeat(LONGEST);
        let said = Say::Stdout {
            id: None,
            text: &long,
        };
        assert!(encode(&said).is_none());
    }
}
