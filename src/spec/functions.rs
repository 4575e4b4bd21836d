//! The functions that expressions may call.

use hcl::Value;
use hcl::eval::{Context, Func, FuncArgs, FuncDef, ParamType};

/// A function.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it gives.
    pub doc: &'static str,
    params: fn() -> (Vec<ParamType>, Option<ParamType>),
    func: Func,
}

type Params = (Vec<ParamType>, Option<ParamType>);

fn one_number() -> Params {
    (vec![ParamType::Number], None)
}
fn numbers() -> Params {
    (vec![ParamType::Number], Some(ParamType::Number))
}
fn one_string() -> Params {
    (vec![ParamType::String], None)
}
fn one() -> Params {
    (vec![ParamType::Any], None)
}
fn any() -> Params {
    (vec![ParamType::Any], Some(ParamType::Any))
}
fn text_and_any() -> Params {
    (vec![ParamType::String], Some(ParamType::Any))
}
fn text_and_list() -> Params {
    (vec![ParamType::String, ParamType::array_of(ParamType::Any)], None)
}
fn list_and_one() -> Params {
    (vec![ParamType::array_of(ParamType::Any), ParamType::Any], None)
}

/// All functions; names and meanings are Terraform's.
pub static TABLE: &[Function] = &[
    Function {
        name: "min",
        signature: "min(a, b, ...)",
        doc: "the smallest number",
        params: numbers,
        func: |a| fold(&a, f64::min),
    },
    Function {
        name: "max",
        signature: "max(a, b, ...)",
        doc: "the largest number",
        params: numbers,
        func: |a| fold(&a, f64::max),
    },
    Function {
        name: "floor",
        signature: "floor(x)",
        doc: "the next whole number below",
        params: one_number,
        func: |a| map(&a, f64::floor),
    },
    Function {
        name: "ceil",
        signature: "ceil(x)",
        doc: "the next whole number above",
        params: one_number,
        func: |a| map(&a, f64::ceil),
    },
    Function {
        name: "round",
        signature: "round(x)",
        doc: "the nearest whole number",
        params: one_number,
        func: |a| map(&a, f64::round),
    },
    Function {
        name: "abs",
        signature: "abs(x)",
        doc: "the amount without its sign",
        params: one_number,
        func: |a| map(&a, f64::abs),
    },
    Function {
        name: "lower",
        signature: "lower(text)",
        doc: "the text in lower case",
        params: one_string,
        func: |a| Ok(text(&a, 0).to_lowercase().into()),
    },
    Function {
        name: "upper",
        signature: "upper(text)",
        doc: "the text in upper case",
        params: one_string,
        func: |a| Ok(text(&a, 0).to_uppercase().into()),
    },
    Function {
        name: "format",
        signature: "format(text, a, ...)",
        doc: "the text with each %s or %d replaced by the next value, %% by one %",
        params: text_and_any,
        func: format,
    },
    Function {
        name: "join",
        signature: "join(separator, list)",
        doc: "the items of the list in one text",
        params: text_and_list,
        func: join,
    },
    Function {
        name: "length",
        signature: "length(x)",
        doc: "the number of items, members or characters",
        params: one,
        func: length,
    },
    Function {
        name: "coalesce",
        signature: "coalesce(a, b, ...)",
        doc: "the first value that is neither null nor empty text",
        params: any,
        func: coalesce,
    },
    Function {
        name: "contains",
        signature: "contains(list, x)",
        doc: "whether the list has the item",
        params: list_and_one,
        func: contains,
    },
    Function {
        name: "tostring",
        signature: "tostring(x)",
        doc: "a number, true or false as text",
        params: one,
        func: |a| plain(&a[0]).map(Value::from),
    },
    Function {
        name: "tonumber",
        signature: "tonumber(x)",
        doc: "a text as a number",
        params: one,
        func: tonumber,
    },
];

/// A context with all functions.
pub fn context<'a>() -> Context<'a> {
    let mut context = Context::new();
    for function in TABLE {
        let (params, variadic) = (function.params)();
        let mut builder = FuncDef::builder().params(params);
        if let Some(variadic) = variadic {
            builder = builder.variadic_param(variadic);
        }
        context.declare_func(function.name, builder.build(function.func));
    }
    super::arithmetic::declare(&mut context);
    context
}

fn number(x: f64) -> Result<Value, String> {
    if x.fract() == 0.0 && x.abs() < 9e15 {
        return Ok(Value::from(x as i64));
    }
    hcl::Number::from_f64(x).map(Value::Number).ok_or_else(|| "the result is not finite".to_owned())
}

fn fold(args: &FuncArgs, f: fn(f64, f64) -> f64) -> Result<Value, String> {
    let mut numbers = args.iter().filter_map(|v| v.as_number().and_then(hcl::Number::as_f64));
    let first = numbers.next().ok_or("a number is needed")?;
    number(numbers.fold(first, f))
}

fn map(args: &FuncArgs, f: fn(f64) -> f64) -> Result<Value, String> {
    let x = args[0].as_number().and_then(hcl::Number::as_f64).ok_or("a number is needed")?;
    number(f(x))
}

fn text(args: &FuncArgs, i: usize) -> String {
    args[i].as_str().unwrap_or_default().to_owned()
}

/// A value in a text.
fn plain(value: &Value) -> Result<String, String> {
    match value {
        Value::String(s) => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        _ => Err("only text, numbers, true and false can be put into text".to_owned()),
    }
}

fn format(args: FuncArgs) -> Result<Value, String> {
    let pattern = text(&args, 0);
    let mut values = args.iter().skip(1);
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some('s' | 'd') => out.push_str(&plain(values.next().ok_or("fewer values than places")?)?),
            _ => return Err("only %s, %d and %% are known".to_owned()),
        }
    }
    if values.next().is_some() {
        return Err("more values than places".to_owned());
    }
    Ok(out.into())
}

fn join(args: FuncArgs) -> Result<Value, String> {
    let items = args[1].as_array().ok_or("a list is needed")?;
    let texts = items.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join(&text(&args, 0)).into())
}

fn length(args: FuncArgs) -> Result<Value, String> {
    match &args[0] {
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::String(s) => Ok(s.chars().count().into()),
        _ => Err("a list, a map or a text is needed".to_owned()),
    }
}

fn coalesce(args: FuncArgs) -> Result<Value, String> {
    let full = |v: &&Value| !v.is_null() && v.as_str() != Some("");
    args.iter().find(full).cloned().ok_or_else(|| "every value is empty".to_owned())
}

fn contains(args: FuncArgs) -> Result<Value, String> {
    Ok(args[0].as_array().is_some_and(|items| items.contains(&args[1])).into())
}

fn tonumber(args: FuncArgs) -> Result<Value, String> {
    match &args[0] {
        Value::Number(_) => Ok(args[0].clone()),
        Value::String(s) => number(s.trim().parse().map_err(|_| format!("`{s}` is not a number"))?),
        _ => Err("a text or a number is needed".to_owned()),
    }
}
