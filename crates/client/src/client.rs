//! Where sandboxes are made: a server, or an engine in this process.

use crate::context::KernelError;
use crate::create::NewSandbox;
#[cfg(feature = "embedded")]
use crate::engine::{Engine, EngineError};
use crate::error::RemoteError;
use crate::execute::Execute;
use crate::line::SetUpError;
use crate::roots::Trust;
use crate::run::Run;
use crate::running::Running;
use crate::sandbox::Sandbox;
use crate::sandboxes::Listed;
use crate::server::Server;
use crate::url::{Url, UrlError};
use crate::way::{TokenError, Way};
use soulbox_agent_client::AgentError;
use soulbox_model::{ApiKey, SandboxId};
use soulbox_settings::{SettingError, Settings};
use std::sync::Arc;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The key cannot be one.
    #[error(
        "a key has up to {} visible ASCII characters, without spaces",
        ApiKey::MAX
    )]
    Key,
    /// No connection can be tried.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingError),
    /// The server gave no good answer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What the server gave cannot be sent back.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What runs inside the sandbox gave no good answer.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A kernel gave no good answer.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// An answer ended before the end was told.
    #[error("the answer ended before the end was told: nobody knows how it ended")]
    BrokenOff,
    /// The engine in this process failed.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ClientError {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Remote(error) => error.is_not_found(),
            Self::Agent(error) => error.is_not_found(),
            Self::Kernel(error) => error.is_not_found(),
            #[cfg(feature = "embedded")]
            Self::Engine(error) => matches!(error, EngineError::Gone(_)),
            _ => false,
        }
    }
}

/// Where sandboxes are made. Clones are the same place.
///
/// ```no_run
/// # async fn example() -> Result<(), soulbox_client::ClientError> {
/// use soulbox_client::{Execute, SoulBox};
///
/// let soulbox = SoulBox::connect("http://127.0.0.1:3000", "e2b_0123")?;
/// let run = soulbox.execute(&Execute::new("python", "print(6 * 7)")).await?;
/// assert_eq!(run.text(), "42\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SoulBox {
    place: Place,
    settings: Arc<Settings>,
}

/// A server or an engine.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A server.
    Server(Box<Server>),
    /// An engine in this process.
    #[cfg(feature = "embedded")]
    Engine(Arc<Engine>),
}

impl SoulBox {
    /// The server at `url`, which is shown `key`. For `https` those are trusted whom the system trusts. Asks
    /// nothing yet.
    ///
    /// # Errors
    /// The URL is none, or the key cannot be one.
    pub fn connect(url: &str, key: &str) -> Result<Self, ClientError> {
        Self::connect_trusting(url, key, &Trust::default())
    }

    /// As [`SoulBox::connect`], where others vouch for the server as well: `soulbox ca path` names the file of
    /// one.
    ///
    /// # Errors
    /// As there, and a file with certificates is wrong.
    pub fn connect_trusting(url: &str, key: &str, trust: &Trust) -> Result<Self, ClientError> {
        let settings = Arc::new(Settings::with(&[])?);
        let key = ApiKey::given(key).ok_or(ClientError::Key)?;
        let limits = settings.client.clone();
        let server = Server::new(Url::parse(url)?, key, trust, limits)?;
        Ok(Self::of(server, settings))
    }

    /// A server that is known, with bounds of one's own (sections `client` and `agent`).
    #[must_use]
    pub fn of(server: Server, settings: Arc<Settings>) -> Self {
        Self {
            place: Place::Server(Box::new(server)),
            settings,
        }
    }

    /// An engine in this process, which makes sandboxes on this machine: `settings` say where its directories are.
    /// Must be called within a tokio runtime. When the last clone is gone, its sandboxes end;
    /// [`SoulBox::stop`] also waits for that.
    ///
    /// # Errors
    /// The machine or the user cannot make sandboxes; `soulbox doctor` tells what is missing.
    #[cfg(feature = "embedded")]
    pub async fn embedded(settings: Arc<Settings>) -> Result<Self, ClientError> {
        let engine = Engine::start(Arc::clone(&settings)).await?;
        Ok(Self {
            place: Place::Engine(engine),
            settings,
        })
    }

    /// Makes a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create(&self, wish: &NewSandbox) -> Result<Sandbox, ClientError> {
        let (id, way) = match &self.place {
            Place::Server(server) => {
                let made = server.create(wish).await?;
                let way = Way::to(server, &made.met, &self.settings.agent)?;
                (made.met.sandbox_id, way)
            }
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => engine.create(wish).await?,
        };
        Ok(self.handle(id, way))
    }

    /// A sandbox that lives.
    ///
    /// # Errors
    /// There is none of that id, or [`ClientError`].
    pub async fn open(&self, id: &SandboxId) -> Result<Sandbox, ClientError> {
        let way = match &self.place {
            Place::Server(server) => {
                let met = server.meet(id).await?;
                Way::to(server, &met, &self.settings.agent)?
            }
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => engine.open(id)?,
        };
        Ok(self.handle(id.clone(), way))
    }

    fn handle(&self, id: SandboxId, way: Way) -> Sandbox {
        let longest = self.settings.client.answer.bytes();
        Sandbox::new(id, way, self.place.clone(), longest)
    }

    /// The sandboxes that live, the newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self) -> Result<Vec<Listed>, ClientError> {
        match &self.place {
            Place::Server(server) => Ok(server.list().await?),
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => Ok(engine.list()),
        }
    }

    /// Runs code in a sandbox of its own to its end. That the code failed is a [`Run`].
    ///
    /// # Errors
    /// It could not be run at all.
    pub async fn execute(&self, code: &Execute) -> Result<Run, ClientError> {
        self.start(code).await?.wait().await
    }

    /// Runs code in a sandbox of its own, and tells what it prints as it comes.
    ///
    /// ```no_run
    /// # async fn example(soulbox: soulbox_client::SoulBox) -> Result<(), soulbox_client::ClientError> {
    /// use soulbox_client::{Execute, RunEvent};
    ///
    /// let code = "for i in 1 2 3; do echo $i; sleep 1; done";
    /// let mut running = soulbox.start(&Execute::new("bash", code)).await?;
    /// while let Some(event) = running.next().await? {
    ///     match event {
    ///         RunEvent::Stdout(bytes) => println!("{}", String::from_utf8_lossy(&bytes)),
    ///         RunEvent::Exit(run) => println!("{:?} after {:?}", run.cause, run.duration),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It could not be run at all.
    pub async fn start(&self, code: &Execute) -> Result<Running, ClientError> {
        match &self.place {
            Place::Server(server) => Ok(Running::on(server, code).await?),
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => Ok(engine.execute(code).await?),
        }
    }

    /// Ends an engine in this process with all its sandboxes, and waits for that. Does nothing to a server.
    pub async fn stop(&self) {
        match &self.place {
            Place::Server(_) => {}
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => engine.stop().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_server_or_a_key_is_told_before_anything_is_asked() {
        let connect = |url, key| SoulBox::connect(url, key).map(drop);
        assert!(connect("http://127.0.0.1:3000", "e2b_00").is_ok());
        assert!(matches!(
            connect("box:1", "e2b_00"),
            Err(ClientError::Url(_))
        ));
        assert!(matches!(
            connect("http://h:1", "two words"),
            Err(ClientError::Key)
        ));
        assert!(matches!(
            connect("https://-:1", "k"),
            Err(ClientError::SetUp(_))
        ));
    }
}
