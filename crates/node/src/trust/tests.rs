use super::*;
use rustix::fs::FileType;

/// A self-signed certificate that openssl made for this test.
const CERTIFICATE: &str = include_str!("test-ca.crt");

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tree/etc/ssl/certs")).unwrap();
        std::fs::write(dir.path().join("extra.pem"), CERTIFICATE).unwrap();
        Self { dir }
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn layers(&self) -> Layers {
        Layers {
            rootfs: self.tree(),
            ..Layers::default()
        }
    }

    fn trust(&self) -> Trust {
        let files = [self.dir.path().join("extra.pem")];
        Trust::read(&files, &self.dir.path().join("cache"))
            .unwrap()
            .unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.tree().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn the_operators_certificates_stand_behind_the_templates() {
    let place = Place::new();
    place.write("etc/ssl/certs/ca-certificates.crt", "# theirs");
    let trust = place.trust();
    let bundle = trust.bundle(&place.layers()).unwrap().unwrap();
    assert_eq!(bundle.at, "/etc/ssl/certs/ca-certificates.crt");
    let text = std::fs::read_to_string(&bundle.file).unwrap();
    assert_eq!(text, format!("# theirs\n{CERTIFICATE}"));
    assert!(
        bundle
            .environment()
            .any(|pair| pair == ("SSL_CERT_FILE", &bundle.at))
    );
    // The same template, another one with the same bundle, and a changed one.
    assert_eq!(trust.bundle(&place.layers()).unwrap().unwrap(), bundle);
    assert_eq!(
        place.trust().bundle(&place.layers()).unwrap().unwrap(),
        bundle
    );
    place.write("etc/ssl/certs/ca-certificates.crt", "# other theirs");
    assert_ne!(
        trust.bundle(&place.layers()).unwrap().unwrap().file,
        bundle.file
    );
    // One that was removed is made again.
    std::fs::remove_file(&bundle.file).unwrap();
    place.write("etc/ssl/certs/ca-certificates.crt", "# theirs");
    assert_eq!(trust.bundle(&place.layers()).unwrap().unwrap(), bundle);
    assert!(bundle.file.exists());
}

#[test]
fn links_of_a_template_stay_in_it() {
    let place = Place::new();
    let secret = place.dir.path().join("secret");
    std::fs::write(&secret, "of the host").unwrap();
    let link = place.tree().join("etc/ssl/certs/ca-certificates.crt");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    assert_eq!(
        place.trust().bundle(&place.layers()).unwrap(),
        None,
        "it leads to nothing"
    );
    std::fs::remove_file(&link).unwrap();
    place.write("etc/pki/extracted/bundle.pem", "# theirs");
    place.write("etc/pki/tls/certs/x", "");
    let link = place.tree().join("etc/pki/tls/certs/ca-bundle.crt");
    std::os::unix::fs::symlink("/etc/pki/extracted/bundle.pem", link).unwrap();
    let bundle = place.trust().bundle(&place.layers()).unwrap().unwrap();
    assert_eq!(bundle.at, "/etc/pki/extracted/bundle.pem");
}

#[test]
fn a_bundle_that_is_no_file_is_refused() {
    let place = Place::new();
    let path = place.tree().join("etc/ssl/certs/ca-certificates.crt");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(
        place.trust().bundle(&place.layers()),
        Err(TrustError::Bundle(_))
    ));
    std::fs::remove_dir(&path).unwrap();
    let pipe = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, pipe, 0).unwrap();
    assert!(matches!(
        place.trust().bundle(&place.layers()),
        Err(TrustError::Bundle(_))
    ));
}

#[test]
fn a_wrong_file_is_told_by_its_name() {
    let place = Place::new();
    let path = place.dir.path().join("key.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let error = Trust::read(std::slice::from_ref(&path), place.dir.path()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("key.pem") && text.contains("private key"),
        "{text}"
    );
    let missing = Trust::read(&[place.dir.path().join("missing")], place.dir.path());
    assert!(missing.unwrap_err().to_string().contains("missing"));
    assert!(Trust::read(&[], place.dir.path()).unwrap().is_none());
}
