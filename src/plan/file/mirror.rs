//! How working types are written, and the mirror types in the file's own words as which they are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

/// A working type that stands in a plan file.
pub trait Mirror: Sized {
    /// What it is read as.
    type File: DeserializeOwned;
    /// Into the file, as [`Mirror::File`] is read. Nothing is copied for it: the files of large deployments are as long as all else.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    /// Out of the file.
    ///
    /// # Errors
    /// A word that this version does not know.
    fn from_file(file: Self::File) -> Result<Self, String>;
}

/// A working type as something that serde writes.
pub struct Written<'a, T>(pub &'a T);

impl<T: Mirror> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// A struct whose form in the file has the same fields. Naming a field that the working type lacks, or
/// leaving one out, does not compile.
macro_rules! mirror {
    ($name:ident for $working:path { $($field:ident : $ty:ty),* $(,)? }) => {
        #[doc = concat!("`", stringify!($working), "` in a plan file.")]
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($field: <$ty as $crate::plan::file::mirror::Mirror>::File),*
        }

        impl $crate::plan::file::mirror::Mirror for $working {
            type File = $name;
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct as _;
                let fields = [$(stringify!($field)),*].len();
                let mut file = serializer.serialize_struct(stringify!($name), fields)?;
                $(file.serialize_field::<$crate::plan::file::mirror::Written<'_, $ty>>(
                    stringify!($field),
                    &$crate::plan::file::mirror::Written(&self.$field),
                )?;)*
                file.end()
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
        #[derive(serde::Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant),*
        }

        impl $crate::plan::file::mirror::Mirror for $working {
            type File = $name;
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                type Working = $working;
                serializer.serialize_str(match self { $(Working::$variant => $word),* })
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
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }
            fn from_file(file: $ty) -> Result<Self, String> {
                Ok(file)
            }
        })*
    };
}

as_is!(bool, u32, u64, i64, usize, f64, String, (u32, u32), (usize, f64), (String, String));
as_is!(rhumb_api::Money, rhumb_api::Cloud, rhumb_api::Purchase, rhumb_api::ResourceAddr);
as_is!(rhumb_api::Resource, rhumb_api::Attr);

impl Mirror for Arc<str> {
    type File = String;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
    fn from_file(file: String) -> Result<Self, String> {
        Ok(file.into())
    }
}

impl Mirror for crate::diagnostic::Pointer {
    type File = String;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
    fn from_file(file: String) -> Result<Self, String> {
        Ok(crate::diagnostic::Pointer(file))
    }
}

impl Mirror for crate::plan::Pattern {
    type File = String;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
    fn from_file(file: String) -> Result<Self, String> {
        crate::plan::Pattern::parse(&file)
    }
}

impl Mirror for &'static str {
    type File = String;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
    fn from_file(file: String) -> Result<Self, String> {
        let known = super::vocabulary::WORDS.iter().find(|w| **w == file);
        known.copied().ok_or_else(|| format!("this version knows no constraint, failure or unit `{file}`"))
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type File = Option<T::File>;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Written).serialize(serializer)
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.map(T::from_file).transpose()
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type File = Vec<T::File>;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Written))
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.into_iter().map(T::from_file).collect()
    }
}

impl<T: Mirror> Mirror for BTreeMap<String, T> {
    type File = BTreeMap<String, T::File>;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(k, v)| (k, Written(v))))
    }
    fn from_file(file: Self::File) -> Result<Self, String> {
        file.into_iter().map(|(k, v)| Ok((k, T::from_file(v)?))).collect()
    }
}
