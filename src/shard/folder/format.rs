//! FORMAT: a few lines of text that say what a data folder is. It is written once, when the folder is made.

use super::{FolderError, STORES_MAX, failed};
use crate::shard::disk::sync_folder;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Version of the folder's layout that this program reads and writes.
const VERSION: u32 = 1;
const NAME: &str = "FORMAT";
const FIRST: &str = "pulsegate data folder";
/// No FORMAT is longer, bytes: another file may be there under its name.
const BYTES_MAX: u64 = 4096;

/// What FORMAT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) uuid: String,
    pub(super) stores: u16,
    pub(super) created_ms: u64,
}

/// Why FORMAT is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Written by a later program.
    #[error(
        "version {0} of the data folder is not known to this program, which knows version {VERSION}: use a later one"
    )]
    Version(u32),
    /// Not written by us, or changed since.
    #[error("damaged ({0}): restore it from a copy of the folder")]
    Damaged(&'static str),
}

impl Format {
    /// `None`: there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Format>, FolderError> {
        let path = folder.join(NAME);
        let length = match path.metadata() {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot look at", &path)(error)),
        };
        let text = match length {
            0..=BYTES_MAX => std::fs::read(&path).map_err(failed("cannot read", &path))?,
            _ => Vec::new(),
        };
        let text = String::from_utf8(text).unwrap_or_default();
        let wrong = |error| FolderError::Format { path: path.display().to_string(), error };
        Format::parse(&text).map(Some).map_err(wrong)
    }

    /// Reads the text. The version comes first: of a later one nothing else is known.
    pub(super) fn parse(text: &str) -> Result<Format, FormatError> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST) {
            return Err(FormatError::Damaged("it does not begin as ours"));
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        let version = field("version").and_then(|text| text.parse().ok());
        match version.ok_or(FormatError::Damaged("no version"))? {
            VERSION => {}
            other => return Err(FormatError::Version(other)),
        }
        let uuid =
            field("uuid").filter(|text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        let stores = field("stores").and_then(|text| text.parse().ok());
        let created_ms = field("createdMs").and_then(|text| text.parse().ok());
        let crc = field("crc32c").and_then(|text| u32::from_str_radix(text, 16).ok());
        let format = Format {
            uuid: uuid.ok_or(FormatError::Damaged("no uuid"))?.to_owned(),
            stores: stores
                .filter(|stores| (1..=STORES_MAX).contains(stores))
                .ok_or(FormatError::Damaged("no number of stores"))?,
            created_ms: created_ms.ok_or(FormatError::Damaged("no time"))?,
        };
        let body = format.body();
        (crc == Some(crc32c::crc32c(body.as_bytes())))
            .then_some(format)
            .ok_or(FormatError::Damaged("checksum"))
    }

    fn body(&self) -> String {
        let Format { uuid, stores, created_ms } = self;
        format!("{FIRST}\nversion={VERSION}\nuuid={uuid}\nstores={stores}\ncreatedMs={created_ms}\n")
    }

    /// The text of the file.
    pub(super) fn text(&self) -> String {
        let body = self.body();
        format!("{body}crc32c={:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    /// Writes it so that it is there whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FolderError> {
        let (draft, path) = (folder.join("FORMAT.new"), folder.join(NAME));
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            sync_folder(folder)
        });
        written.map_err(failed("cannot write", &path))
    }
}
