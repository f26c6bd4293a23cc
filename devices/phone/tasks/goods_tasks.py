"""Templates about sums, files and purchases."""

from __future__ import annotations

import random

from devices.phone.apps.calculator import CALCULATOR, OPERATIONS, value_of
from devices.phone.apps.files import FILES
from devices.phone.apps.shop import SHOP
from devices.phone.state import PhoneState
from devices.phone.tasks.plan import (
    Move,
    Plan,
    Say,
    Stop,
    Tap,
    reading,
    step,
    towards,
    way,
)
from devices.phone.tasks.worlds import phone


def computing(state: PhoneState, expression: str) -> Move | None:
    """The next move to compute an expression; None when its result is shown."""
    data = CALCULATOR.get(state)
    if data.keyed == expression and data.result:
        return None
    if move := towards(state, way("calculator")):
        return move
    if data.result or not expression.startswith(data.keyed):
        return Tap(name="clear")
    return Tap(name="=" if data.keyed == expression else expression[len(data.keyed)])


def expression_of(rng: random.Random) -> str:
    """Two numbers and an operation, as keyed in."""
    return f"{rng.randrange(11, 99)}{rng.choice(OPERATIONS)}{rng.randrange(2, 10)}"


def compute(rng: random.Random) -> Plan:
    """Compute something."""
    expression = expression_of(rng)
    return Plan(
        goal=f"compute {expression} with the calculator",
        start=phone(rng),
        done=lambda state: (
            CALCULATOR.get(state).result == value_of(expression) and CALCULATOR.get(state).keyed == expression
        ),
        route=lambda state: computing(state, expression),
    )


def to_file(state: PhoneState, file: str) -> tuple[Stop, ...]:
    """The way to a file where it lies now."""
    folder = FILES.get(state).folder_of(file)
    return way("files", step("files", "folder", folder), step("files", "file", file))


def deleting_file(state: PhoneState, file: str) -> Move | None:
    """The next move to delete a file."""
    stops = (*to_file(state, file), step("files", "delete", file, via="delete"))
    return towards(state, stops) or Tap(name="ok")


def all_files(state: PhoneState) -> frozenset[str]:
    """Names of the files in all folders."""
    return frozenset(file for folder in FILES.get(state).folders for file in folder.files)


def delete_file(rng: random.Random) -> Plan:
    """Delete a file and confirm."""
    start = phone(rng)
    file = rng.choice(sorted(all_files(start)))
    rest = all_files(start) - {file}
    folder = FILES.get(start).folder_of(file)
    return Plan(
        goal=f"delete the file {file} in {folder}",
        start=start,
        done=lambda state: all_files(state) == rest,
        route=lambda state: deleting_file(state, file) if rest <= all_files(state) else None,
    )


def move_file(rng: random.Random) -> Plan:
    """Move a file to another folder."""
    start = phone(rng)
    file = rng.choice(sorted(all_files(start)))
    folder = FILES.get(start).folder_of(file)
    target = rng.choice([one.name for one in FILES.get(start).folders if one.name != folder])

    def route(state: PhoneState) -> Move | None:
        if file not in all_files(state):
            return None
        stops = (*to_file(state, file), step("files", "move", file, via="move"))
        return towards(state, stops) or Tap(name=target)

    return Plan(
        goal=f"move the file {file} from {folder} to {target}",
        start=start,
        done=lambda state: FILES.get(state).folder_of(file) == target,
        route=route,
    )


def count_files(rng: random.Random) -> Plan:
    """Answer how many files there are in a folder."""
    start = phone(rng)
    folder = rng.choice(FILES.get(start).folders)
    stops = way("files", step("files", "folder", folder.name))
    number = str(len(folder.files))
    return Plan(
        goal=f"how many files are in the folder {folder.name}?",
        start=start,
        done=lambda state: state.answer.strip() == number,
        route=lambda state: reading(state, stops) or Say(text=number),
    )


def to_product(name: str) -> tuple[Stop, ...]:
    """The way to a product."""
    return way("shop", step("shop", "product", name))


def filling_cart(state: PhoneState, *names: str) -> Move | None:
    """The next move to have exactly these products in the cart; None when they are."""
    cart = SHOP.get(state).cart
    for name in cart:
        if name not in names:
            to_cart = way("shop", step("shop", "cart"), step("shop", "remove", name))
            return towards(state, to_cart) or Tap(name="ok")
    for name in names:
        if name not in cart:
            return towards(state, to_product(name)) or Tap(name="add")
    return None


def ordering(state: PhoneState, name: str) -> Move | None:
    """The next move to order one product and nothing else; None when it is ordered or too late."""
    if SHOP.get(state).ordered:
        return None
    if move := filling_cart(state, name):
        return move
    return towards(state, way("shop", step("shop", "cart"), step("shop", "order"))) or Tap(name="ok")


def order_product(rng: random.Random) -> Plan:
    """Order a product and confirm."""
    start = phone(rng)
    name = rng.choice(SHOP.get(start).products).name
    return Plan(
        goal=f"order a {name} in the shop",
        start=start,
        done=lambda state: SHOP.get(state).ordered == (name,),
        route=lambda state: ordering(state, name),
    )


def fill_cart(rng: random.Random) -> Plan:
    """Put two products into the cart."""
    start = phone(rng)
    first, second = (product.name for product in rng.sample(SHOP.get(start).products, 2))
    return Plan(
        goal=f"put a {first} and a {second} into the cart",
        start=start,
        done=lambda state: set(SHOP.get(state).cart) == {first, second},
        route=lambda state: filling_cart(state, first, second),
    )


def empty_cart(rng: random.Random) -> Plan:
    """Take one of two products out of the cart."""
    start = phone(rng)
    kept, removed = (product.name for product in rng.sample(SHOP.get(start).products, 2))
    cart = (kept, removed) if rng.random() < 0.5 else (removed, kept)
    return Plan(
        goal=f"remove the {removed} from the cart",
        start=SHOP.change(start, cart=cart),
        done=lambda state: SHOP.get(state).cart == (kept,),
        route=lambda state: filling_cart(state, kept),
    )


def tell_price(rng: random.Random) -> Plan:
    """Answer what a product costs."""
    start = phone(rng)
    product = rng.choice(SHOP.get(start).products)
    return Plan(
        goal=f"how many coins does the {product.name} cost?",
        start=start,
        done=lambda state: state.answer.strip().removesuffix(" coins") == str(product.price),
        route=lambda state: reading(state, way("shop")) or Say(text=str(product.price)),
    )
