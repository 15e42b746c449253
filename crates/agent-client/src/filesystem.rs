//! Directories and names.

use super::{AgentClient, AgentError};
use soulbox_wire::envd::filesystem::{
    EntryInfo, EntryResponse, ListDirRequest, ListDirResponse, MoveRequest, PathRequest,
};
use soulbox_wire::envd::process::Empty;

impl AgentClient {
    /// What is at `path`.
    ///
    /// # Errors
    /// The agent cannot be reached, or nothing is there (`not_found`).
    pub async fn stat(&self, path: &str, user: Option<&str>) -> Result<EntryInfo, AgentError> {
        self.entry("Stat", path, user).await
    }

    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// The agent cannot be reached, the directory exists (`already_exists`), or a file is in the
    /// way (`invalid_argument`).
    pub async fn make_dir(&self, path: &str, user: Option<&str>) -> Result<EntryInfo, AgentError> {
        self.entry("MakeDir", path, user).await
    }

    /// What is in a directory, `depth` levels deep.
    ///
    /// # Errors
    /// The agent cannot be reached, nothing is there (`not_found`), or it is no directory
    /// (`invalid_argument`).
    pub async fn list_dir(
        &self,
        path: &str,
        depth: u32,
        user: Option<&str>,
    ) -> Result<Vec<EntryInfo>, AgentError> {
        let message = ListDirRequest {
            path: path.to_owned(),
            depth,
        };
        let method = "filesystem.Filesystem/ListDir";
        let limit = self.limits.listing_bytes;
        let answer: ListDirResponse = self.unary(method, user, &message, limit).await?;
        Ok(answer.entries)
    }

    /// Removes a file, or a directory and all that is in it. What is not there is removed
    /// already.
    ///
    /// # Errors
    /// The agent cannot be reached or cannot remove it.
    pub async fn remove(&self, path: &str, user: Option<&str>) -> Result<(), AgentError> {
        let message = PathRequest {
            path: path.to_owned(),
        };
        let method = "filesystem.Filesystem/Remove";
        let limit = self.limits.answer_bytes;
        let Empty {} = self.unary(method, user, &message, limit).await?;
        Ok(())
    }

    /// Gives a file or directory another name, and makes the directories above it.
    ///
    /// # Errors
    /// The agent cannot be reached, or there is no such file (`not_found`).
    pub async fn move_to(
        &self,
        source: &str,
        destination: &str,
        user: Option<&str>,
    ) -> Result<EntryInfo, AgentError> {
        let message = MoveRequest {
            source: source.to_owned(),
            destination: destination.to_owned(),
        };
        let method = "filesystem.Filesystem/Move";
        let limit = self.limits.answer_bytes;
        let answer: EntryResponse = self.unary(method, user, &message, limit).await?;
        Ok(answer.entry)
    }

    async fn entry(
        &self,
        method: &str,
        path: &str,
        user: Option<&str>,
    ) -> Result<EntryInfo, AgentError> {
        let message = PathRequest {
            path: path.to_owned(),
        };
        let method = format!("filesystem.Filesystem/{method}");
        let limit = self.limits.answer_bytes;
        let answer: EntryResponse = self.unary(&method, user, &message, limit).await?;
        Ok(answer.entry)
    }
}
