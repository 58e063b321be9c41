//! One worker's slabs and certificates, and what has to be true of them when a test is done.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use headpin_slab::{Counts, HeadPolicy, Meter, SlabClass, SlabSettings, WorkerSlabs};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::{TlsAcceptor, TlsBuffers};

pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Smaller than in production, so that short tests fill slabs.
const CAPACITY: usize = 128 << 10;
const CHUNK: usize = 64 * 1024;

/// A certificate that is its own root.
static IDENTITY: LazyLock<(CertificateDer<'static>, PrivateKeyDer<'static>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (made.cert.der().clone(), key)
});

pub(super) struct Fixture {
    pub(super) slabs: Rc<WorkerSlabs>,
    pub(super) buffers: Rc<TlsBuffers>,
    pub(super) server: Arc<ServerConfig>,
    counts: Rc<Counts>,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    pub(super) fn new(policy: HeadPolicy) -> Self {
        Self::with_chunk(policy, CHUNK)
    }

    /// Reads and writes at most `chunk` bytes in one go.
    pub(super) fn with_chunk(policy: HeadPolicy, chunk: usize) -> Self {
        let counts = Rc::<Counts>::default();
        let settings = SlabSettings {
            worker: 0,
            tls_capacity: CAPACITY,
            tcp_capacity: CAPACITY,
            spares: 0,
        };
        let meter: Rc<dyn Meter> = Rc::<Counts>::clone(&counts);
        let slabs = WorkerSlabs::new(&settings, policy, &meter);
        Self {
            buffers: TlsBuffers::new(Rc::clone(&slabs), chunk),
            slabs,
            server: server_config(&VERSIONS),
            counts,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap(),
        }
    }

    /// One of each policy, over the record layer and over that of rustls.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of = |policy| [Self::new(policy), Self::new(policy).over_rustls()];
        HeadPolicy::ALL.into_iter().flat_map(of)
    }

    /// Leaves records to rustls, as if it did not hand out its secrets.
    pub(super) fn over_rustls(mut self) -> Self {
        Arc::make_mut(&mut self.server).enable_secret_extraction = false;
        self
    }

    /// A clock for deadlines that stands still.
    pub(super) fn clock(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Runs `test` on a clock that goes on when nothing else does.
    pub(super) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.runtime.block_on(test)
    }

    /// Serves with other cryptography than the default.
    pub(super) fn use_provider(&mut self, provider: CryptoProvider) {
        let (certificate, key) = &*IDENTITY;
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.clone_key())
            .unwrap();
        server.enable_secret_extraction = self.server.enable_secret_extraction;
        server.key_log = crate::secret_tap();
        self.server = Arc::new(server);
    }

    /// No slice is out, nothing is pinned, and under `copy` one slab served everything.
    pub(super) fn assert_clean(&self) {
        let census = self.slabs.census();
        assert!(census.iter().all(|slab| slab.slices == 0), "{census:?}");
        let counts = self.counts.of(SlabClass::Tls);
        assert_eq!(counts.pinned.get(), 0);
        assert!(counts.live() <= 1);
        if self.slabs.policy() == HeadPolicy::Copy {
            assert!(counts.allocated.get() <= 1);
        }
    }
}

pub(super) fn server_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let acceptor = TlsAcceptor::new().unwrap();
    let (certificate, key) = &*IDENTITY;
    acceptor.server_config(versions, resolver(certificate.clone(), key.clone_key()), None)
}

/// Serves one certificate to everybody.
pub(super) fn resolver(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Arc<SingleCertAndKey> {
    let certified = CertifiedKey::from_der(vec![certificate], key, &aws_lc_rs::default_provider()).unwrap();
    Arc::new(SingleCertAndKey::from(certified))
}

/// A client that trusts the fixture's certificate and speaks `version` only.
pub(super) fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    client_that_trusts(&IDENTITY.0, version, aws_lc_rs::ALL_CIPHER_SUITES.to_vec())
}

/// The same with one cipher suite.
pub(super) fn client_with_suite(
    version: &'static SupportedProtocolVersion,
    suite: rustls::SupportedCipherSuite,
) -> ClientConfig {
    client_that_trusts(&IDENTITY.0, version, vec![suite])
}

pub(super) fn client_that_trusts(
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    cipher_suites: Vec<rustls::SupportedCipherSuite>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = CryptoProvider {
        cipher_suites,
        ..aws_lc_rs::default_provider()
    };
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// `len` bytes that differ from place to place.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i / 251 % 256) as u8).collect()
}
