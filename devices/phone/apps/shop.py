"""Shop: products with prices, a cart, and orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Hero, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something to buy, its price in whole coins."""

    name: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopData:
    """Products in order, names of those in the cart, and of those ordered."""

    products: tuple[Product, ...] = ()
    cart: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()

    def price(self, name: str) -> int:
        """What a product costs; 0 if it is not sold."""
        return next((product.price for product in self.products if product.name == name), 0)


SHOP: Final = AppData("shop", ShopData)


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="shop", name=page, item=item))


def _add(name: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        cart = SHOP.get(state).cart
        return state if name in cart else SHOP.change(state, cart=(*cart, name))

    return effect


def _remove(name: str) -> Effect:
    return lambda state: pop(
        SHOP.change(state, cart=tuple(one for one in SHOP.get(state).cart if one != name))
    )


def _order(state: PhoneState) -> PhoneState:
    data = SHOP.get(state)
    state = SHOP.change(state, cart=(), ordered=(*data.ordered, *data.cart))
    return push(pop(state, 2), Page(app="shop", name="thanks"))


def _product_view(data: ShopData, name: str) -> View:
    inside = name in data.cart
    add = Button(name="add", icon="plus", tone=Tone.PRIMARY, tap=_add(name))
    nodes = (
        Hero(name=name, icon="cart"),
        Text(text=name, large=True),
        Text(text=f"{data.price(name)} coins"),
        *((Text(text="in your cart"),) if inside else ()),
    )
    cart = Button(name="cart", icon="cart", tap=_open("cart"))
    return View(title="product", nodes=nodes, footer=(cart,) if inside else (add, cart))


def _cart_view(data: ShopData) -> View:
    if not data.cart:
        return View(title="cart", nodes=(Text(text="empty"),))
    rows = tuple(
        Row(name=n, icon="bin", detail=f"{data.price(n)} coins", tap=_open("remove", n)) for n in data.cart
    )
    buy = Button(name="order", icon="check", tone=Tone.PRIMARY, tap=_open("order"))
    return View(title="cart", nodes=rows, footer=(buy,))


def _view(state: PhoneState, page: Page) -> View:
    data = SHOP.get(state)
    cancel = Button(name="cancel", tap=pop)
    match page.name:
        case "product":
            return _product_view(data, page.item)
        case "cart":
            return _cart_view(data)
        case "remove":
            ok = Button(name="ok", tone=Tone.PRIMARY, tap=_remove(page.item))
            return View(title="remove?", nodes=(Text(text=page.item),), footer=(cancel, ok), dialog=True)
        case "order":
            ok = Button(name="ok", tone=Tone.PRIMARY, tap=_order)
            total = f"{sum(data.price(name) for name in data.cart)} coins"
            return View(title="order now?", nodes=(Text(text=total),), footer=(cancel, ok), dialog=True)
        case "thanks":
            return View(title="thank you", nodes=(Hero(name="thanks", icon="check"), Text(text="ordered")))
    rows = tuple(
        Row(name=one.name, icon="cart", detail=f"{one.price} coins", tap=_open("product", one.name))
        for one in data.products
    )
    return View(title="shop", nodes=rows, footer=(Button(name="cart", icon="cart", tap=_open("cart")),))


APP: Final = App(name="shop", icon="cart", color="pink", data=ShopData, view=_view)
