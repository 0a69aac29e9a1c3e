"""The served document is that of the mesh of this moment."""

from tests.unit.gateway.world import Client, Member, World, run


def test_services_come_and_go() -> None:
    async def test(world: World, client: Client) -> None:
        world.knows(Member("box-a", 11), Member("box-b", 22, ("language-id",)))
        paths = (await client.get("/openapi.json")).json["paths"]
        assert "/service/language-id" in paths
        world.hears(Member("box-b", 22, ("vision-ocr",)))
        paths = (await client.get("/openapi.json")).json["paths"]
        assert "/service/language-id" not in paths
        assert paths["/service/vision-ocr"]["post"]["summary"] == "Does vision-ocr"

    run(test)
