//! A containerd of the test's own: state and socket in a temporary folder, ended with the test.

use containerd_client::services::v1::{CreateRequest, DeleteRequest};
use kubelet::images::Images;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long containerd may take to listen, on a loaded machine.
const START_WAIT: Duration = Duration::from_secs(60);

pub struct Engine {
    process: Child,
    folder: tempfile::TempDir,
}

impl Engine {
    /// Starts the program that `SKERRY_CONTAINERD` names, with the settings that matter here as the machine has them.
    pub async fn start() -> Engine {
        let program = std::env::var("SKERRY_CONTAINERD").unwrap_or_else(|_| "containerd".to_owned());
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 3\ndisabled_plugins = ['io.containerd.nri.v1.nri']\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'skerry.local/pause:1'\n\
             [plugins.'io.containerd.internal.v1.opt']\npath = {:?}\n\
             [plugins.'io.containerd.metadata.v1.bolt']\ncontent_sharing_policy = 'shared'\n\
             [plugins.'io.containerd.service.v1.diff-service']\ndefault = ['walking']\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
            at("ttrpc.sock"),
            at("opt")
        );
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["--config", &at("config.toml")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let engine = Engine { process, folder };
        engine.wait().await;
        engine
    }

    async fn wait(&self) {
        let since = Instant::now();
        while self.images().list().await.is_err() {
            assert!(since.elapsed() < START_WAIT, "containerd does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn images(&self) -> Images {
        Images::at(&self.socket()).unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    /// Has it collect all that nobody refers to, as the end of a lease does.
    pub async fn collect(&self) {
        fn call<T>(message: T) -> tonic::Request<T> {
            let mut request = tonic::Request::new(message);
            request.metadata_mut().insert("containerd-namespace", "k8s.io".parse().unwrap());
            request
        }
        let client = containerd_client::Client::from_path(self.socket()).await.unwrap();
        let id = "collect".to_owned();
        client.leases().create(call(CreateRequest { id: id.clone(), ..CreateRequest::default() })).await.unwrap();
        client.leases().delete(call(DeleteRequest { id, sync: true })).await.unwrap();
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
