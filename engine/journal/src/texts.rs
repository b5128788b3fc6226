use crate::error::JournalError;
use crate::writer::sync_parent;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tercel_event::Chain;

/// Strategy sources, configuration and symbol tables, beside the frames that name them by hash:
/// `texts/<hash>.<ext>`, and a line `hash name` per text in `texts/index`.
#[derive(Debug)]
pub struct TextStore {
    dir: PathBuf,
}

/// One stored text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub name: String,
    pub hash: u64,
    pub path: PathBuf,
}

/// The hash by which a text is stored and found.
pub fn text_hash(bytes: &[u8]) -> u64 {
    let mut chain = Chain::default();
    chain.bytes(bytes);
    chain.0
}

impl TextStore {
    /// The texts of the journal in `dir`; creates the folder with the first text.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.join("texts") }
    }

    /// Stores a text and waits until the disk has it: a frame may name its hash from here on. The same text under the same
    /// name is stored once. Errors: `Io`.
    pub fn store(&self, name: &str, bytes: &[u8]) -> Result<u64, JournalError> {
        let hash = text_hash(bytes);
        let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.texts()?.iter().any(|text| text.hash == hash && text.name == name) {
            return Ok(hash);
        }
        std::fs::create_dir_all(&self.dir).map_err(JournalError::io("create", &self.dir))?;
        let path = self.path_of(hash, &name);
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh).map_err(JournalError::io("create", &fresh))?;
        file.write_all(bytes).map_err(JournalError::io("write", &fresh))?;
        file.sync_all().map_err(JournalError::io("sync", &fresh))?;
        std::fs::rename(&fresh, &path).map_err(JournalError::io("name", &path))?;
        let index_path = self.dir.join("index");
        let index = OpenOptions::new().create(true).append(true).open(&index_path);
        let mut index = index.map_err(JournalError::io("open", &index_path))?;
        index.write_all(format!("{hash:016x} {name}\n").as_bytes()).map_err(JournalError::io("write", &index_path))?;
        index.sync_all().map_err(JournalError::io("sync", &index_path))?;
        sync_parent(&index_path)?;
        sync_parent(&self.dir)?;
        Ok(hash)
    }

    /// Every stored text, in the order of storing. A line that a crash cut short is left out. Errors: `Io`.
    pub fn texts(&self) -> Result<Vec<Text>, JournalError> {
        let path = self.dir.join("index");
        let index = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(JournalError::io("read", &path))?,
        };
        let index = String::from_utf8_lossy(&index);
        let whole = index.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(whole
            .filter_map(|line| {
                let (hash, name) = line.split_once(' ')?;
                let hash = u64::from_str_radix(hash, 16).ok()?;
                Some(Text { name: name.to_owned(), hash, path: self.path_of(hash, name) })
            })
            .collect())
    }

    /// The content of a text. Errors: `Text` when it is not what its hash says, `Io`.
    pub fn read(&self, text: &Text) -> Result<Vec<u8>, JournalError> {
        let bytes = std::fs::read(&text.path).map_err(JournalError::io("read", &text.path))?;
        if text_hash(&bytes) != text.hash {
            return Err(JournalError::Text { name: text.name.clone(), hash: text.hash });
        }
        Ok(bytes)
    }

    /// The newest text of that name with its content. Errors: as `texts` and `read`.
    pub fn find(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.texts()?.iter().rfind(|text| text.name == name).map(|text| self.read(text)).transpose()
    }

    fn path_of(&self, hash: u64, name: &str) -> PathBuf {
        let extension = Path::new(name).extension().and_then(|ext| ext.to_str());
        let safe = extension.filter(|ext| ext.bytes().all(|b| b.is_ascii_alphanumeric())).unwrap_or("txt");
        self.dir.join(format!("{hash:016x}.{safe}"))
    }
}
