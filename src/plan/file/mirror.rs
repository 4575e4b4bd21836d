//! How working types are written: each has a mirror type in the file's own words.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A working type that stands in a plan file.
pub trait Mirror: Sized {
    /// Its form in the file.
    type File: Serialize + DeserializeOwned;
    /// Into the file.
    fn to_file(&self) -> Self::File;
    /// Out of the file.
    ///
    /// # Errors
    /// A word that this version does not know.
    fn from_file(file: Self::File) -> Result<Self, String>;
}

/// A struct whose form in the file has the same fields. Naming a field that the working type lacks, or
/// leaving one out, does not compile.
macro_rules! mirror {
    ($name:ident for $working:path { $($field:ident : $ty:ty),* $(,)? }) => {
        #[doc = concat!("`", stringify!($working), "` in a plan file.")]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($field: <$ty as $crate::plan::file::mirror::Mirror>::File),*
        }

        impl $crate::plan::file::mirror::Mirror for $working {
            type File = $name;
            fn to_file(&self) -> $name {
                $name { $($field: <$ty as $crate::plan::file::mirror::Mirror>::to_file(&self.$field)),* }
            }
            fn from_file(file: $name) -> Result<Self, String> {
                type Working = $working;
                Ok(Working {
                    $($field: <$ty as $crate::plan::file::mirror::Mirror>::from_file(file.$field)?),*
                })
            }
        }
    };
}

/// An enumeration without fields and the word for each variant.
macro_rules! words {
    ($name:ident for $working:path { $($variant:ident = $word:literal),* $(,)? }) => {
        #[doc = concat!("`", stringify!($working), "` in a plan file.")]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant),*
        }

        impl $crate::plan::file::mirror::Mirror for $working {
            type File = $name;
            fn to_file(&self) -> $name {
                type Working = $working;
                match self { $(Working::$variant => $name::$variant),* }
            }
            fn from_file(file: $name) -> Result<Self, String> {
                type Working = $working;
                Ok(match file { $($name::$variant => Working::$variant),* })
            }
        }
    };
}

pub(super) use {mirror, words};

/// Types that are written as they are; those of the seam crate have a stable form of their own.
macro_rules! as_is {
    ($($ty:ty),* $(,)?) => {
        $(impl Mirror for $ty {
            type File = $ty;
            fn to_file(&self) -> $ty {
                self.clone()
            }
            fn from_file(file: $ty) -> Result<Self, String> {
                Ok(file)
            }
        })*
    };
}

as_is!(bool, u32, u64, i64, usize, f64, String, (u32, u32), (String, String));
as_is!(rhumb_api::Money, rhumb_api::Cloud, rhumb_api::Purchase, rhumb_api::ResourceAddr);
as_is!(rhumb_api::Resource, rhumb_api::Attr);

impl Mirror for Arc<str> {
    type File = String;
    fn to_file(&self) -> String {
        self.as_ref().to_owned()
    }
    fn from_file(file: String) -> Result<Self, String> {
        Ok(file.into())
    }
}

impl Mirror for crate::diagnostic::Pointer {
    type File = String;
    fn to_file(&self) -> String {
        self.0.clone()
    }
    fn from_file(file: String) -> Result<Self, String> {
        Ok(crate::diagnostic::Pointer(file))
    }
}

impl Mirror for crate::plan::Pattern {
    type File = String;
    fn to_file(&self) -> String {
        self.as_str().to_owned()
    }
    fn from_file(file: String) -> Result<Self, String> {
        crate::plan::Pattern::parse(&file)
    }
}

impl Mirror for &'static str {
    type File = String;
    fn to_file(&self) -> String {
        (*self).to_owned()
    }
    fn from_file(file: String) -> Result<Self, String> {
        let known = super::vocabulary::WORDS.iter().find(|w| **w == file);
        known.copied().ok_or_else(|| format!("this version knows no constraint, failure or unit `{file}`"))
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type File = Option<T::File>;
    fn to_file(&self) -> Self::File {
        self.as_ref().map(T::to_file)
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.map(T::from_file).transpose()
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type File = Vec<T::File>;
    fn to_file(&self) -> Self::File {
        self.iter().map(T::to_file).collect()
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.into_iter().map(T::from_file).collect()
    }
}

impl Mirror for (usize, f64) {
    type File = (usize, f64);
    fn to_file(&self) -> Self::File {
        *self
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        Ok(file)
    }
}

impl<T: Mirror> Mirror for BTreeMap<String, T> {
    type File = BTreeMap<String, T::File>;
    fn to_file(&self) -> Self::File {
        self.iter().map(|(k, v)| (k.clone(), v.to_file())).collect()
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.into_iter().map(|(k, v)| Ok((k, T::from_file(v)?))).collect()
    }
}
