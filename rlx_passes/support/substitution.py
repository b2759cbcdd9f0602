"""Replacing symbols everywhere in a function: types, shapes, dim expressions, and attributes that hold them."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType
from xdsl.ir import Attribute, Operation, ParametrizedAttribute
from xdsl.rewriter import Rewriter

from rlx_dialects.dims import DimLike
from rlx_dialects.rlx import DimAttr, DimExprAttr, ShapeAttr


class Substitution:
    """Rewrites attributes; equal attributes are rewritten once."""

    def __init__(self, values: Mapping[str, DimLike]):
        self.values = values
        self._done: dict[Attribute, Attribute] = {}

    def attribute(self, attribute: Attribute) -> Attribute:
        """The attribute with the symbols replaced; itself where it has none of them. Declarations (`#rlx.dim`) stay."""
        found = self._done.get(attribute)
        if found is None:
            found = self._done[attribute] = self._rewrite(attribute)
        return found

    def _rewrite(self, attribute: Attribute) -> Attribute:
        match attribute:
            case DimAttr():
                return attribute
            case DimExprAttr():
                return DimExprAttr(attribute.data.substitute(self.values))
            case ShapeAttr():
                return ShapeAttr(tuple(dim.substitute(self.values) for dim in attribute.data))
            case ArrayAttr():
                return ArrayAttr([self.attribute(entry) for entry in attribute.data])
            case DictionaryAttr():
                return DictionaryAttr({name: self.attribute(entry) for name, entry in attribute.data.items()})
            case FunctionType():
                inputs, outputs = ([self.attribute(t) for t in types.data] for types in (attribute.inputs, attribute.outputs))
                return FunctionType.from_lists(inputs, outputs)
            case ParametrizedAttribute():
                parameters = [self.attribute(parameter) for parameter in attribute.parameters]
                return attribute if parameters == list(attribute.parameters) else type(attribute).new(parameters)
            case _:
                return attribute

    def apply(self, root: Operation) -> None:
        """Rewrite the attributes, properties, results and block arguments of `root` and everything in it."""
        for op in root.walk():
            for table in (op.properties, op.attributes):
                for name, attribute in table.items():
                    table[name] = self.attribute(attribute)
            arguments = [argument for region in op.regions for block in region.blocks for argument in block.args]
            for value in (*op.results, *arguments):
                new = self.attribute(value.type)
                if new is not value.type:
                    Rewriter.replace_value_with_new_type(value, new)
