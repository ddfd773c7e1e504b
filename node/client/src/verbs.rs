//! `Api`: the verbs on one resource, typed or as trees.
//!
//! It must not know any kind.

use crate::client::{Client, JSON, Request};
use crate::decode::lenient;
use crate::options::{DeleteOptions, ListOptions, PAGE_OBJECTS, Patch, Selection, push};
use crate::resource::ResourceRef;
use crate::watch::{Decode, WatchOptions, WatchStream};
use ::api::{Status, Tree};
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::marker::PhantomData;

/// Asks for metadata only.
pub(crate) const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
/// Asks for the metadata of a list.
pub(crate) const PARTIAL_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

/// The verbs on one resource. Namespaces are given by call; an empty one means all of them, or a cluster-scoped kind.
#[derive(Clone)]
pub struct Api<T> {
    client: Client,
    resource: ResourceRef,
    metadata_only: bool,
    strict: bool,
    decodes: PhantomData<fn() -> T>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub struct Page<T> {
    /// The list's own metadata.
    pub metadata: PageMeta,
    /// The objects; the server may say `null` for none.
    #[serde(default = "Option::default")]
    items: Option<Vec<T>>,
}

/// What a list says about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageMeta {
    /// The revision of the list; a watch may start here.
    pub resource_version: String,
    /// Where the next page begins; empty on the last.
    #[serde(rename = "continue")]
    pub continue_token: String,
    /// How many objects follow, if the server counted.
    pub remaining_item_count: Option<i64>,
}

impl<T> Page<T> {
    /// The objects of the page.
    #[must_use]
    pub fn items(self) -> Vec<T> {
        self.items.unwrap_or_default()
    }
}

impl<T: DeserializeOwned> Api<T> {
    pub(crate) fn new(client: Client, resource: ResourceRef) -> Api<T> {
        Api { client, resource, metadata_only: false, strict: false, decodes: PhantomData }
    }

    /// The same, asking for metadata only.
    #[must_use]
    pub fn metadata_only(mut self) -> Api<T> {
        self.metadata_only = true;
        self
    }

    /// The same, with writes refused that hold a field which the server does not know, or one twice.
    #[must_use]
    pub fn strict(mut self) -> Api<T> {
        self.strict = true;
        self
    }

    /// The same, with objects as the server's text.
    pub(crate) fn undecoded(self) -> Api<Box<RawValue>> {
        let Api { client, resource, metadata_only, strict, .. } = self;
        Api { client, resource, metadata_only, strict, decodes: PhantomData }
    }

    /// The resource that the verbs act on.
    #[must_use]
    pub fn resource(&self) -> &ResourceRef {
        &self.resource
    }

    fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = self.resource.path(namespace);
        for part in [name, subresource] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }

    /// A query with what all writes say.
    fn writing(&self, mut query: String) -> String {
        if self.strict {
            push(&mut query, "fieldValidation", "Strict");
        }
        query
    }

    fn accept(&self, list: bool) -> &'static str {
        match (self.metadata_only, list) {
            (false, _) => JSON,
            (true, false) => PARTIAL,
            (true, true) => PARTIAL_LIST,
        }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The server's `Status`; 503 when it did not answer. The same holds for every verb.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<T, Status> {
        let request = Request::new(Method::GET, self.path(namespace, name, "")).accept(self.accept(false));
        self.client.call(request).await
    }

    /// Reads an object that may be absent.
    ///
    /// # Errors
    /// As [`Api::get`], but 404 is `None`.
    pub async fn find(&self, namespace: &str, name: &str) -> Result<Option<T>, Status> {
        match self.get(namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Reads one page.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn page(&self, namespace: &str, options: &ListOptions) -> Result<Page<T>, Status> {
        let request = Request::new(Method::GET, self.path(namespace, "", ""));
        self.client.call(request.query(options.query()).accept(self.accept(true))).await
    }

    /// Reads a whole collection page by page; also tells its revision.
    ///
    /// # Errors
    /// As [`Api::get`]; 410 when the pages outlived the server's history.
    pub async fn list(&self, namespace: &str, selection: &Selection) -> Result<(Vec<T>, String), Status> {
        let mut options = ListOptions { selection: selection.clone(), limit: PAGE_OBJECTS, ..ListOptions::default() };
        let mut all = Vec::new();
        loop {
            let mut page = self.page(namespace, &options).await?;
            let meta = std::mem::take(&mut page.metadata);
            all.extend(page.items());
            if meta.continue_token.is_empty() {
                return Ok((all, meta.resource_version));
            }
            options.continue_token = meta.continue_token;
        }
    }

    /// Opens a watch.
    ///
    /// # Errors
    /// As [`Api::get`]; failures after the start come as items of the stream.
    pub async fn watch(&self, namespace: &str, options: &WatchOptions) -> Result<WatchStream<T>, Status> {
        self.watch_as(namespace, options, lenient).await
    }

    /// Opens a watch whose objects are read in another way.
    pub(crate) async fn watch_as<U>(
        &self,
        namespace: &str,
        options: &WatchOptions,
        decode: Decode<U>,
    ) -> Result<WatchStream<U>, Status> {
        let accept = if self.metadata_only { PARTIAL } else { JSON };
        let request = Request::new(Method::GET, self.path(namespace, "", "")).query(options.query()).accept(accept);
        Ok(WatchStream::new(self.client.open(&request).await?, decode))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn create(&self, namespace: &str, object: &impl Serialize) -> Result<T, Status> {
        let request = Request::new(Method::POST, self.path(namespace, "", "")).query(self.writing(String::new()));
        self.client.call(request.body(JSON, object)?).await
    }

    /// POSTs to a subresource: `binding`, `eviction`, `token`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn create_sub<S: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        sub: &str,
        body: &impl Serialize,
    ) -> Result<S, Status> {
        self.client.call(Request::new(Method::POST, self.path(namespace, name, sub)).body(JSON, body)?).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn update(&self, namespace: &str, name: &str, object: &impl Serialize) -> Result<T, Status> {
        self.update_sub(namespace, name, "", object).await
    }

    /// PUTs to a subresource: `status`, `scale`, `finalize`, `approval`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn update_sub<S: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        sub: &str,
        body: &impl Serialize,
    ) -> Result<S, Status> {
        let request = Request::new(Method::PUT, self.path(namespace, name, sub)).query(self.writing(String::new()));
        self.client.call(request.body(JSON, body)?).await
    }

    /// Patches an object, or a subresource of it unless `sub` is empty.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch(&self, namespace: &str, name: &str, sub: &str, patch: &Patch) -> Result<T, Status> {
        let request = Request::new(Method::PATCH, self.path(namespace, name, sub)).query(self.writing(patch.query()));
        let request = request.accept(self.accept(false)).body(patch.content_type(), patch.body())?;
        self.client.call(request).await
    }

    /// Deletes an object. The answer is the object or a `Status`, as the server chose.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<Tree, Status> {
        self.client.call(Request::new(Method::DELETE, self.path(namespace, name, "")).body(JSON, options)?).await
    }

    /// Deletes an object; that it is already gone is fine.
    ///
    /// # Errors
    /// As [`Api::get`], but not 404.
    pub async fn delete_if_there(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), Status> {
        match self.delete(namespace, name, options).await {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    /// Deletes what a selection holds.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete_collection(
        &self,
        namespace: &str,
        selection: &Selection,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        let mut query = String::new();
        selection.write(&mut query);
        let request = Request::new(Method::DELETE, self.path(namespace, "", "")).query(query).body(JSON, options)?;
        self.client.bytes(request).await.map(drop)
    }
}
