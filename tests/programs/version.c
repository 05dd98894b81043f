#include <rsdaemon.h>
#include <stdio.h>

int main(void)
{
    printf("%s %d.%d.%d %d\n", rsd_version(), RSDAEMON_VERSION_MAJOR, RSDAEMON_VERSION_MINOR,
           RSDAEMON_VERSION_PATCH, RSDAEMON_VERSION_NUMBER);
    return 0;
}
